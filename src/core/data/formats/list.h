// Lists of images: CSV or TSV rows of path and label.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "data/dataset.h"
#include "data/split.h"

namespace nestvit {

bool is_list(const std::filesystem::path& path);  // a file that ends in .csv or .tsv
std::vector<std::filesystem::path> lists_in(const std::filesystem::path& folder);
// "train.csv", "Training.tsv", ... in `folder`; nothing when there is none.
std::optional<std::filesystem::path> find_list(const std::filesystem::path& folder, Split split);

// root is a list, or a folder with train.csv and perhaps val.csv, test.csv (or .tsv), or with a
// single list. A list that is not one part by its name may have a column of parts
// (data/formats/list_rows.h); without rows for validation a seeded share of the rows for training
// is "val". Paths are relative to the list's folder. Labels are class names, or indices when all of
// those of the training rows are integers; with a class map they are names from it or indices into
// it.
std::unique_ptr<Dataset> open_list(const DatasetOptions& options);

}  // namespace nestvit

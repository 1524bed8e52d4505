// Lists of images: CSV or TSV rows of path and label.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "data/split.h"

namespace nestvit {

struct ListRow {
  std::string path;
  std::string label;
  int64_t line = 0;  // from 1, of the file
  size_t end = 0;    // where it ends, in bytes
};

// RFC 4180: fields in double quotes may hold delimiters, line breaks and doubled quotes. A first
// row that names the columns (path, label, and usual synonyms) is a header, and other columns are
// then ignored; without it a row has exactly two fields, and a first row is ignored if its path is
// the only one that does not name an image. Empty lines are ignored. Throws Error naming the line.
void each_row(std::string_view text, char delimiter, const std::string& origin,
              const std::function<void(const ListRow&)>& visit);
std::vector<ListRow> parse_list(std::string_view text, char delimiter, const std::string& origin);

// Tab for .tsv; else the one of comma, semicolon and tab that the first line has.
char list_delimiter(const std::filesystem::path& path, std::string_view text);

bool is_list(const std::filesystem::path& path);  // a file that ends in .csv or .tsv
std::vector<std::filesystem::path> lists_in(const std::filesystem::path& folder);
// "train.csv", "training.tsv", ... in `folder`; nothing when there is none.
std::optional<std::filesystem::path> find_list(const std::filesystem::path& folder, Split split);

// root is a list, or a folder with train.csv and perhaps val.csv, test.csv (or .tsv), or with a
// single list. Paths are relative to the list's folder. Labels are class names, or indices when all
// of them are integers; with a class map they are names from it or indices into it.
std::unique_ptr<Dataset> open_list(const DatasetOptions& options);

}  // namespace nestvit

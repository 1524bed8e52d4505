// A list of images in little memory: what its columns say of each row.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/index/path_list.h"
#include "data/split.h"

namespace nestvit {

struct ListTable {
  struct Label {
    std::string text;
    int64_t line = 0;  // where it comes first
  };
  PathList paths;
  std::vector<int> labels;              // [paths.size()], of `texts`
  std::vector<Label> texts;             // every label once
  int64_t line = 0;                     // of the first row
  std::vector<Split> parts;             // [paths.size()]; empty: no column says them
  std::string part_column;              // its name
  std::array<int64_t, 3> part_lines{};  // of the first row of each part; 0: it has none
  std::vector<NotRead> not_read;        // columns

  bool has(Split part) const { return part_lines[static_cast<size_t>(part)] > 0; }
};

// Throws Error: no rows; what each_row() throws; a column of parts in which some words are parts
// and some are not. A column of parts without any is not read.
ListTable read_list(const std::filesystem::path& path);

// The rows of one part of a list that has parts.
ListTable part_of(const ListTable& list, Split part);

// The labels of the rows to train on: of all rows where no part is called so.
std::vector<ListTable::Label> training_labels(const ListTable& list);

}  // namespace nestvit

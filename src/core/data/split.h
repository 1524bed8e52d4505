// The parts of a dataset, and the seeded split of data that has no parts.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nestvit {

enum class Split { kTrain, kVal, kTest };

// The names of folders and lists of this part; the usual one first.
const std::vector<std::string>& split_names(Split split);

// The part of that name, if it is one of split_names(), in any case. parse_split throws UsageError
// if not.
std::optional<Split> find_split_named(const std::string& word);
Split parse_split(const std::string& word);
inline bool is_split(const std::string& word) { return find_split_named(word).has_value(); }

// The items that seeded_part() divides. It calls the functions several times for an item: keeping
// all keys would take more memory than the items.
struct SplitItems {
  int64_t size = 0;
  std::function<std::string(int64_t)> key;  // tells items apart: the relative path
  std::function<int(int64_t)> label;
};

// The items that belong to `split` (kTrain or kVal), in order, when val_share of each class goes to
// kVal. Items are ranked by a seeded hash of their key, so that their order does not matter, and an
// item that comes or goes moves at most one other. A class of two or more items has at least one in
// each part (unless the share is 0 or 1); a single item goes to kTrain.
std::vector<int64_t> seeded_part(const SplitItems& items, const DatasetOptions& options,
                                 Split split);

}  // namespace nestvit

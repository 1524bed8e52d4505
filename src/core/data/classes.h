// Class names: their order, and the class map file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nestvit {

// A dataset of more classes than this is a mistake (ImageNet-21k has 21,841); it bounds what a
// hostile label costs.
inline constexpr int kMaxClasses = 1'000'000;

// timm's natural_key: lower case, runs of digits compare as numbers, "class2" < "class10". Ties in
// byte order.
bool natural_less(const std::string& a, const std::string& b);
void sort_classes(std::vector<std::string>& names, ClassOrder order);

// One name per line, line number = index. Throws Error: unreadable, empty, blank line inside,
// duplicate.
std::vector<std::string> read_class_map(const std::filesystem::path& path);
std::vector<std::string> parse_class_map(const std::string& text, const std::string& origin);

// "0", "1", ... up to count - 1, each after `prefix`.
std::vector<std::string> numbered_classes(int count, const std::string& prefix = "");

// Names for `count` numbered classes: the class map when the options give one (Error when it has
// fewer lines), else `usual`.
std::vector<std::string> class_names(const DatasetOptions& options, int count,
                                     std::vector<std::string> usual);

// Training needs two classes. Throws Error naming `where`.
void require_two_classes(const std::vector<std::string>& classes, const std::string& where,
                         const std::string& hint);

}  // namespace nestvit

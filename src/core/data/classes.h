// Class names: their order, and the class map file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
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

// The class map file: line number = index. A line is the class's name; or, when every line is a
// WordNet id with a text after it ("n01440764 tench, Tinca tinca": synset_words.txt,
// LOC_synset_mapping.txt), folders and labels are called by the id, and the text up to the first
// comma is the name that is shown; a name that two classes share has the id added.
struct ClassMap {
  std::vector<std::string> keys;   // what folders and labels are called; unique
  std::vector<std::string> names;  // what the classes are called; often the same
};

// Throws Error: unreadable, empty, blank line inside, duplicate, not UTF-8. Names are composed
// (base/unicode.h).
ClassMap read_class_map(const std::filesystem::path& path);
ClassMap parse_class_map(const std::string& text, const std::string& origin);

// "n" and eight digits.
bool is_synset(std::string_view word);

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

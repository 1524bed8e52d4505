// The names of ImageNet's 1000 classes, for weights that come without any.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace nestvit {

// Replaces 1000 placeholders ("class 7") by ImageNet's synsets ("n01440764"), described in words
// ("tench"), in the order that all published weights use. Leaves other labels alone.
void name_imagenet_classes(std::vector<std::string>& labels,
                           std::map<std::string, std::string>& descriptions);

}  // namespace nestvit

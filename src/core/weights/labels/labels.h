// Class names of a model: placeholders for unknown names, and the classes that names mean.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weights/model_dir.h"

namespace nestvit {

// "class 0", "class 1", ...: for a model without names.
std::vector<std::string> numbered_labels(int classes);

// The model's class for each of `names`, by label or description. Nothing when one of them is
// unknown, or means two classes.
std::optional<std::vector<int>> classes_by_name(const std::vector<std::string>& names,
                                                const ModelContent& model);

}  // namespace nestvit

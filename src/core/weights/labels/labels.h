// Class names of a model: placeholders for unknown names, and the classes that names mean.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weights/model_dir.h"

namespace nestvit {

// "class 0", "class 1", ...: for a model without names.
std::vector<std::string> numbered_labels(int classes);

// Whether the names are numbers only, as "class 7" and "7": what files without names get.
bool names_nothing(const std::vector<std::string>& names);

// `names` of a model with `classes` classes: those that the data lacks are numbered.
std::vector<std::string> class_labels(std::vector<std::string> names, int classes);

// The model's class for each of `names`, by label or description; -1 for a name that is unknown,
// or that means two classes.
std::vector<int> known_classes(const std::vector<std::string>& names, const ModelContent& model);

// The same. Nothing when one of them is -1.
std::optional<std::vector<int>> classes_by_name(const std::vector<std::string>& names,
                                                const ModelContent& model);

// What the model calls the classes of a dataset: its labels by name, by order where one of both
// names nothing; a class that it does not know keeps its own name.
std::vector<std::string> names_in_model(std::vector<std::string> names, const ModelContent& model);

}  // namespace nestvit

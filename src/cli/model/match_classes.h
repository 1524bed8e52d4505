// Matches the classes of a dataset with those of a model.
#pragma once

#include <vector>

#include "data/dataset.h"
#include "weights/model_dir.h"

namespace nestvit::cli {

// The model's class for each class of the dataset: by name, whatever the order; by order, with a
// warning, where one of them names none. Throws Error when the classes differ.
std::vector<int> match_classes(const Dataset& dataset, const LoadedModel& model);

}  // namespace nestvit::cli

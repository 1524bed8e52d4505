// The recipes of --recipe: how to train, whatever the model and the data.
#pragma once

#include <string>
#include <vector>

#include "run/recipe/recipe.h"

namespace nestvit {

const std::vector<std::string>& named_recipes();

// The settings of `name`, to go over a base and under the user's. Throws UsageError for an unknown
// name.
Settings named_recipe(const std::string& name);

}  // namespace nestvit

// The recipe for data that came without --config; docs/training.md has the table and the reasons.
#pragma once

#include "run/recipe/resolve.h"

namespace nestvit {

// `input_size`: what the user asked for, or 0.
Recipe default_recipe(const DataFacts& facts, int input_size);

}  // namespace nestvit

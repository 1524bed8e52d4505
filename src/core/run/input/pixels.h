// How an image of the data becomes the model's input in a run.
#pragma once

#include <string>

#include "image/transform.h"
#include "run/recipe/recipe.h"

namespace nestvit {

// `kind`: Dataset::kind(). CIFAR for a larger input is enlarged first, and training images of it
// pass through JPEG, as in the official code (reference.md D.6).
Pixels training_input(const Sample& sample, const Recipe& recipe, const std::string& kind,
                      Rng& rng);
Pixels evaluation_input(const Sample& sample, const Recipe& recipe, const std::string& kind);

}  // namespace nestvit

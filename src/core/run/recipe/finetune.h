// Runs that start from weights (init_checkpoint): what the recipe takes from them, and what may
// differ. reference.md F.6. Free of libtorch.
#pragma once

#include <string>
#include <vector>

#include "run/recipe/recipe.h"
#include "weights/adapt.h"

namespace nestvit {

// `base` with the model, preprocessing and input size of `weights`, for settings to go over.
// `asked` holds the user's settings: another input_size there changes nest.patch_size so that the
// number of blocks stays (224 to 384: 14 to 24); throws UsageError where it cannot.
Recipe with_weights(Recipe base, const LoadedNetwork& weights, const Recipe& asked);

// The recipe for data that came with weights but without --config; docs/training.md has the table.
Recipe finetune_recipe(const DataFacts& facts, const LoadedNetwork& weights, const Recipe& asked);

// Throws UsageError when the recipe, resolved or not, asks for another model than that of
// `weights`.
void check_architecture(const Recipe& recipe, const LoadedNetwork& weights);
// Throws UsageError when the resolved recipe asks for a resize_posembed that the sizes do not have,
// or wants to evaluate classes that the weights do not know.
void check_weights(const Recipe& recipe, const LoadedNetwork& weights);

// What the run starts from: the weights, fitted to the recipe's model; fresh ones without.
TensorMap starting_tensors(const Recipe& recipe, const LoadedNetwork* weights);

// Lines for the start of a run: what was changed in the weights, and where the recipe goes against
// what they were trained with.
struct WeightsReport {
  std::vector<std::string> changes, warnings;
};
WeightsReport report_weights(const Recipe& recipe, const LoadedNetwork& weights);

}  // namespace nestvit

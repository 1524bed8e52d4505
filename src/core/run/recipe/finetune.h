// Runs that start from weights (init_checkpoint): which settings the recipe takes from them, and
// which may differ. reference.md F.6.
#pragma once

#include <string>
#include <vector>

#include "run/recipe/resolve.h"
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

// Whether reinit_head asks for a new head, and of which kind.
ReinitHead reinit_head_of(const Recipe& recipe);

// What becomes of the head of `weights`, for data with these classes.
struct HeadPlan {
  // AdaptOptions::rows. Empty: no row moves; the head stays, or is new, as replaces_head() says.
  std::vector<int> rows;
  std::string change;   // for people
  std::string warning;  // or empty
};
HeadPlan plan_head(const Recipe& recipe, const LoadedNetwork& weights,
                   const std::vector<std::string>& classes);

// The tensors that the run starts from: the weights, fitted to the recipe's model and to the data's
// classes; without weights fresh ones.
TensorMap starting_tensors(const Recipe& recipe, const LoadedNetwork* weights,
                           const std::vector<std::string>& classes);

}  // namespace nestvit

// From a recipe to one that is complete: what is open is filled in from the data, the rest is
// checked; and what follows from a recipe without the data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "run/recipe/recipe.h"

namespace nestvit {

// What the data says about itself.
struct DataFacts {
  std::string kind;  // Dataset::kind()
  int64_t train_size = 0;
  int64_t val_size = 0;
  int num_classes = 0;
  int short_side = 0;  // median over a sample of training images, in pixels
};
DataFacts data_facts(const Dataset& train, const Dataset& val);

// Fills in what is open and checks what is not. Throws UsageError that names the key.
void resolve(Recipe& recipe, const DataFacts& facts);

// The official code normalises when one of augment, randerasing and colorjitter is present,
// whatever its value (reference.md D.7).
bool has_augmentation_keys(const Recipe& recipe);

// "cifar10" or "cifar100" for a Dataset::kind() of either form, raw files or TFDS's; else "".
std::string cifar_name(const std::string& kind);

// The network of a resolved recipe: model_name with nest.*, or a baseline.
Architecture architecture_of(const Recipe& recipe);

DatasetOptions dataset_options(const Recipe& recipe, const std::string& split);

// Keys that a resumed run must keep: weights, optimiser state or the order of the data depend on
// them.
std::vector<std::string> locked_keys(Recipe& recipe);
// A fingerprint of the locked keys' values.
std::string digest(Recipe recipe);

}  // namespace nestvit

// Finds the network of weights that come without a description, by names and shapes alone.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/nest.h"
#include "weights/tensor.h"

namespace nestvit {

enum class Naming { kTimm, kFlax };

struct Hints {
  std::string variant;  // the name that the weights go by, any; "": unknown
  // Settings of NestConfig's fields that win over what was found: {"level_heads", "[3, 6, 12]"}.
  std::vector<std::pair<std::string, std::string>> overrides;
};

struct Identified {
  NestConfig config;
  std::vector<std::string> assumed;  // guesses about properties that shapes do not show, in words
};

// timm's names when there is a patch_embed.proj.weight, Flax paths when there is a
// PatchEmbedding_0. timm's may lack the head; num_classes is 1 then. Throws Error that names
// `origin`: not a NesT, or heads or depths that can be neither seen nor guessed (the hint says how
// to give them).
Naming naming_of(const TensorMap& tensors, const std::string& origin);
Identified identify(const TensorMap& tensors, const Hints& hints, const std::string& origin);

}  // namespace nestvit

// Gradient checkpointing: a layer keeps only its input and is computed again in the backward.
#pragma once

#include <functional>

#include "train/torch.h"

namespace nestvit::train {

using LayerFunction = std::function<torch::Tensor(const torch::Tensor&)>;

// layer(x), with bit-identical gradients for x and for the parameters that `layer` uses. The second
// run draws the same random numbers, under the same autocast. An input that needs no gradient is
// passed to `layer` directly: there is nothing to save.
torch::Tensor recomputed(const LayerFunction& layer, const torch::Tensor& x);

// Whether this is a layer's second run, whose batch the running statistics include already.
bool recomputing();

}  // namespace nestvit::train

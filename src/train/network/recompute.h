// Gradient checkpointing: a layer keeps only its input and is computed again in the backward.
#pragma once

#include <functional>

#include "train/torch.h"

namespace nestvit::train {

using LayerFunction = std::function<torch::Tensor(const torch::Tensor&)>;

// layer(x), with the same gradients, to the bit, for x and for the parameters that `layer` uses.
// The second run draws the same random numbers, under the same autocast. An input without a
// gradient is passed to `layer` as it is: there is nothing to save.
torch::Tensor recomputed(const LayerFunction& layer, const torch::Tensor& x);

// Whether this is a layer's second run: running statistics have counted the batch already.
bool recomputing();

}  // namespace nestvit::train

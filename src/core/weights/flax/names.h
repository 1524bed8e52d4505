// Converts the official (Flax) parameter arrays, by path, to ours and back; reference.md B.4 and
// its extensions.
#pragma once

#include <functional>
#include <string>

#include "model/nest.h"
#include "weights/tensor.h"

namespace nestvit {

// `params`: arrays named by Flax path ("EncoderNDBlock_0/LayerNorm_0/scale"); `batch_stats`
// likewise, for BN. Throws Error: missing, additional or misshapen array.
// `used` is called with each array once its values are taken.
TensorMap from_flax(
    const TensorMap& params, const TensorMap& batch_stats, const NestConfig& config,
    const std::string& origin,
    const std::function<void(const Tensor&)>& used = [](const Tensor&) {});

// One array of a Flax tree (parameter, gradient or moment) per entry of the result, and the running
// statistics in `batch_stats`. The inverse of from_flax.
TensorMap to_flax(const TensorMap& tensors, const NestConfig& config,
                  TensorMap* batch_stats = nullptr);

}  // namespace nestvit

// Adam in one pass over the memory of all parameters, on the CPU, instead of one per operation.
#pragma once

#include <vector>

#include "train/torch.h"

namespace nestvit::train {

struct AdamSettings {
  double beta1, beta2, eps;
  double correction1, correction2;  // 1 - beta^t, as adam_correction() (adam.h) rounds it
};

// One parameter, to be covered: contiguous f32 tensors of the same size on the CPU.
struct AdamParameter {
  torch::Tensor value, gradient, first, second;
  double rate;   // learning rate, with the layer's share
  double decay;  // rate * weight decay, or 0
};

bool adam_pass_covers(const AdamParameter& parameter);

// adam_update() (adam.h) by a kernel of our own; the same bits for any thread count.
void adam_pass(const AdamSettings& settings, const std::vector<AdamParameter>& parameters);

}  // namespace nestvit::train

// Adam on the CPU in one pass over the memory of all parameters, instead of one pass per operation.
#pragma once

#include <vector>

#include "train/torch.h"

namespace nestvit::train {

struct AdamSettings {
  double beta1, beta2, eps;
  double correction1, correction2;  // 1 - beta^t, as adam_correction() (optim/adam.h) rounds it
};

struct AdamParameter {
  torch::Tensor value, gradient, first, second;
  double rate;   // the learning rate times the share of the parameter's layer
  double decay;  // rate * weight decay, or 0
};

// Whether adam_pass() takes the parameter: contiguous f32 tensors on the CPU.
bool adam_pass_covers(const AdamParameter& parameter);

// adam_update() (optim/adam.h) by the kernel TrainingKernels::adam. The same bits for any number of
// threads.
void adam_pass(const AdamSettings& settings, const std::vector<AdamParameter>& parameters);

}  // namespace nestvit::train

// Batch norm as Flax 0.3.4 has it; reference.md A.4.
#pragma once

#include "train/group/group.h"
#include "train/torch.h"

namespace nestvit::train {

// Scale, shift and running statistics, each [C].
struct BatchNormTensors {
  torch::Tensor weight, bias, mean, var;
};

// x [M, C] or [B, C, H, W], each channel by its mean and variance over all else (eps 1e-5); not
// `training`: by the running ones. Training moves those by a tenth, to the biased variance.
torch::Tensor batch_norm(const torch::Tensor& x, BatchNormTensors& tensors, bool training);

// While it lives, training's means and variances in this thread are over the inputs of all
// processes of `group` (null: of this one), forwards and backwards. All of them then run the same
// layers.
class SharedStatistics {
 public:
  explicit SharedStatistics(const Group* group);
  ~SharedStatistics();
  SharedStatistics(const SharedStatistics&) = delete;
  SharedStatistics& operator=(const SharedStatistics&) = delete;

 private:
  const Group* before_;
};

}  // namespace nestvit::train

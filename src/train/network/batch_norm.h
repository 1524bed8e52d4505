// Batch norm as Flax 0.3.4 has it; reference.md A.4.
#pragma once

#include "train/group/group.h"
#include "train/torch.h"

namespace nestvit::train {

struct BatchNorm {
  torch::Tensor weight, bias, mean, var;  // scale, shift and running statistics, each [C]
  // In training, means and variances are over the inputs of all its processes, forwards and
  // backwards, so all of them run the same layers. Null: over the inputs of this process.
  const Group* group = nullptr;
};

// x [M, C] or [B, C, H, W], each channel by its mean and variance over all else (eps 1e-5); not
// `training`: by the running ones. Training moves those by a tenth, to the biased variance.
torch::Tensor batch_norm(const torch::Tensor& x, BatchNorm& norm, bool training);

// The base of modules with batch norm, by which make_network() finds them.
class HasBatchNorm {
 public:
  virtual ~HasBatchNorm() = default;
  BatchNorm batch;
};

}  // namespace nestvit::train

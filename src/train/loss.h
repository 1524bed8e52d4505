// Cross-entropy on soft labels, and label smoothing; reference.md F.1, E.4.
#pragma once

#include "train/torch.h"

namespace nestvit::train {

// mean over B of -sum_k targets[b,k] * log_softmax(logits)[b,k]
torch::Tensor soft_cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets);
// one-hot of labels [B] int64, then y*(1-e) + e/K
torch::Tensor smoothed_one_hot(const torch::Tensor& labels, int64_t classes, double smoothing);

}  // namespace nestvit::train

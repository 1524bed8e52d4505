// Cross-entropy on soft labels; reference.md F.1.
#pragma once

#include "train/torch.h"

namespace nestvit::train {

// mean over B of -sum_k targets[b,k] * log_softmax(logits)[b,k]
torch::Tensor soft_cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets);

}  // namespace nestvit::train

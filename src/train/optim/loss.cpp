// Cross-entropy on soft labels; reference.md F.1.
#include "train/optim/loss.h"

namespace nestvit::train {

torch::Tensor soft_cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets) {
  return -(targets * torch::log_softmax(logits, /*dim=*/-1)).sum(-1).mean();
}

}  // namespace nestvit::train

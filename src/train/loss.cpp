// Cross-entropy on soft labels, and label smoothing; reference.md F.1, E.4.
#include "train/loss.h"

namespace nestvit::train {

torch::Tensor soft_cross_entropy(const torch::Tensor& logits, const torch::Tensor& targets) {
  return -(targets * torch::log_softmax(logits, /*dim=*/-1)).sum(-1).mean();
}

torch::Tensor smoothed_one_hot(const torch::Tensor& labels, int64_t classes, double smoothing) {
  const double share = smoothing / static_cast<double>(classes);
  return torch::full({labels.size(0), classes}, share, labels.options().dtype(torch::kFloat32))
      .scatter_(/*dim=*/1, labels.unsqueeze(1), 1 - smoothing + share);
}

}  // namespace nestvit::train

// Not torch::batch_norm in training, whose running variance is the unbiased one: Flax keeps the
// biased.
#include "train/batch_norm.h"

#include "train/recompute.h"

namespace nestvit::train {

torch::Tensor batch_norm(const torch::Tensor& x, BatchNormTensors& t, bool training) {
  constexpr double kEps = 1e-5, kUpdate = 0.1;  // Flax's momentum 0.9
  if (!training)
    return torch::batch_norm(x, t.weight, t.bias, t.mean, t.var, /*training=*/false, kUpdate, kEps,
                             /*cudnn=*/false);
  auto [y, mean, inv_std] = torch::native_batch_norm(x, t.weight, t.bias, /*mean=*/{}, /*var=*/{},
                                                     /*training=*/true, kUpdate, kEps);
  if (recomputing()) return y;
  torch::NoGradGuard no_grad;
  t.mean.lerp_(mean, kUpdate);
  t.var.lerp_(inv_std.pow(-2) - kEps, kUpdate);
  return y;
}

}  // namespace nestvit::train

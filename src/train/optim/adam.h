// Adam's update, and by which of three kernels: ours for the CPU, PyTorch's fused one for a GPU, or
// operation by operation where neither may be used.
#pragma once

#include <cstdint>
#include <vector>

#include "train/fused/adam.h"
#include "train/torch.h"

namespace nestvit::train {

enum class AdamKernel {
  kOnePass,  // fused/adam.h; f32 on the CPU
  kFused,    // at::_fused_adamw_; any device and floating type, one for all
  kPlain,    // a pass over memory per operation; whatever tensors
};

// The one to use for these: kFused on a GPU, kOnePass on the CPU, where it is the faster one;
// kPlain when some tensor is not what they take.
AdamKernel adam_kernel(const std::vector<AdamParameter>& parameters);

// 1 - beta^t in f32, as the reference has it: for beta2 that is off by 1e-5 in the first steps, and
// decides later where a max-pool picks among near equals.
double adam_correction(double beta, int64_t step);

// m <- beta1*m + (1-beta1)*g; v <- beta2*v + (1-beta2)*g^2;
// p <- p - rate * (m / correction1) / (sqrt(v / correction2) + eps) - decay*p
// `step`: from 1; all kernels do the same to rounding. Gradients are left as they are.
void adam_update(AdamKernel kernel, const AdamSettings& settings, int64_t step,
                 const std::vector<AdamParameter>& parameters);

}  // namespace nestvit::train

// Which backend carries a group's tensors on a GPU: NCCL from GPU to GPU, or Gloo through the CPU.
#pragma once

#include <string>
#include <vector>

#include "train/group/group.h"
#include "train/torch.h"

namespace nestvit::train {

// `gpus`: what each rank said of itself, "+" and the name of its GPU, or "-" and why it has no
// NCCL. Returns why these ranks cannot use NCCL together, naming the lowest rank; empty when they
// can.
std::string why_no_nccl(const std::vector<std::string>& gpus);

// Gives `group` the backend of its options for tensors on `device`, and prints which. A collective
// call, made after open_device() and before the first tensor is exchanged. kAuto takes Gloo when a
// process lacks the module (cuda_module.h) or two have the same GPU. Throws UsageError for NCCL
// without a GPU, Error when kNccl was named and is not possible.
void choose_backend(const Group& group, const torch::Device& device);

}  // namespace nestvit::train

// Which backend carries a group's tensors on a GPU: NCCL from GPU to GPU, or Gloo by way of the
// CPU.
#pragma once

#include <string>
#include <vector>

#include "train/group/group.h"
#include "train/torch.h"

namespace nestvit::train {

// Why there can be no NCCL among processes that said this of themselves, by rank: "+" and the name
// of their GPU, or "-" and why they have no NCCL. Empty when there can be. Names the lowest rank.
std::string why_no_nccl(const std::vector<std::string>& of_all);

// Gives `group` the backend of its options for tensors on `device`, and says which; all processes
// call it with what open_device() gave them, before the first tensor is exchanged. kAuto takes Gloo
// when a process lacks the module (cuda_module.h) or two have the same GPU. Throws UsageError for
// NCCL without a GPU, Error when kNccl was named and cannot be.
void choose_backend_of_all(const Group& group, const torch::Device& device);

}  // namespace nestvit::train

// Any network in training, as the loop, evaluation and checkpoints see it.
#pragma once

#include <memory>

#include "model/architecture.h"
#include "train/group/group.h"
#include "train/torch.h"

namespace nestvit::train {

// Its parameters and buffers are parameter_table(architecture), by name and shape; uninitialised
// until load_tensors (tensors.h).
class Network : public torch::nn::Module {
 public:
  // x [B, channels, S, S], normalised -> logits [B, K]. In train() mode drop-path and dropout draw
  // from torch's generator: seed it per step (torch::manual_seed). Throws Error for an input of
  // another shape.
  virtual torch::Tensor forward(torch::Tensor x) = 0;
  // In train() mode layers keep only their input and are computed again in the backward
  // (recompute.h).
  virtual void set_grad_checkpointing(bool on) = 0;
};

// `batch_norm_group`: the processes over which batch norm takes its statistics in training; null:
// each process by itself. Throws as geometry() and stages() do.
std::shared_ptr<Network> make_network(const Architecture& architecture,
                                      const Group* batch_norm_group = nullptr);

// Throws Error unless x is [B, channels, S, S].
void check_input(const torch::Tensor& x, int channels, int size);

}  // namespace nestvit::train

// The NesT modules on libtorch, in timm's order; reference.md A. The twin of src/core/runtime: a
// parity test keeps them equal. Shapes: B images, T blocks, N tokens per block, C channels, H
// heads, D = C/H.
#pragma once

#include <memory>
#include <vector>

#include "model/nest.h"
#include "train/torch.h"

namespace nestvit::train {

// The parts, in nest.cpp: a level is pooling, position embedding and encoder layers.
class PatchEmbed;
class NestLevel;
class NormLayer;
class Linear;

// Parameters and buffers are parameter_table(config), by name and shape.
class NestImpl : public torch::nn::Module {
 public:
  // Parameters are uninitialised until load_tensors (bridge.h). Throws as geometry() does.
  explicit NestImpl(const NestConfig& config);

  // x [B, channels, S, S], normalised -> logits [B, K]. `levels` receives each level's last encoder
  // output [B, T, N, C]. Drop-path and dropout act in train() mode, from torch's generator: seed it
  // per step (torch::manual_seed). Throws Error for an input of another shape.
  torch::Tensor forward(torch::Tensor x, std::vector<torch::Tensor>* levels = nullptr);

  // Encoder layers keep only their input in train() mode and are computed again in the backward
  // (recompute.h).
  void set_grad_checkpointing(bool on);

  const NestConfig& config() const { return config_; }

 private:
  NestConfig config_;
  std::shared_ptr<PatchEmbed> patch_embed_;
  std::vector<std::shared_ptr<NestLevel>> levels_;  // image side first
  std::shared_ptr<NormLayer> norm_;
  std::shared_ptr<Linear> head_;
};
TORCH_MODULE(Nest);

}  // namespace nestvit::train

// The NesT modules on libtorch, in timm's order; reference.md A. The twin of src/core/runtime: a
// parity test keeps them equal. Shapes: B images, T blocks, N tokens per block, C channels, H
// heads, D = C/H.
#pragma once

#include <memory>
#include <vector>

#include "model/nest.h"
#include "train/network/network.h"

namespace nestvit::train {

// The parts, in nest.cpp: a level is pooling, position embedding and encoder layers.
class PatchEmbed;
class NestLevel;
class NormLayer;
class Linear;

class NestImpl : public Network {
 public:
  // Throws as geometry() does.
  explicit NestImpl(const NestConfig& config);

  // Drop-path and dropout act in train() mode.
  torch::Tensor forward(torch::Tensor x) override { return forward(std::move(x), nullptr); }
  // `levels` receives each level's last encoder output [B, T, N, C].
  torch::Tensor forward(torch::Tensor x, std::vector<torch::Tensor>* levels);

  void set_grad_checkpointing(bool on) override;

  // Whether encoder layers may take the fused path (fused/encoder_layer.h), which they do by
  // default where it covers them. For tests and benchmarks that compare the two paths.
  void use_fused(bool on);

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

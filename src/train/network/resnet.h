// The reference's ResNet baselines on libtorch; model/resnet.h says how they differ from timm's.
#pragma once

#include <memory>
#include <vector>

#include "train/network/network.h"

namespace nestvit::train {

// The parts, in resnet.cpp.
class ConvNorm;
class ResidualBlock;

class ResNet : public Network {
 public:
  explicit ResNet(const ResNetConfig& config);
  torch::Tensor forward(torch::Tensor x) override;
  void set_grad_checkpointing(bool on) override { grad_checkpointing_ = on; }

 private:
  ResNetConfig config_;
  bool grad_checkpointing_ = false;
  std::shared_ptr<ConvNorm> stem_;
  std::vector<std::shared_ptr<ResidualBlock>> blocks_;  // of all stages, image side first
  std::shared_ptr<torch::nn::Module> fc_;
  torch::Tensor fc_weight_, fc_bias_;  // [K, C], [K]
};

}  // namespace nestvit::train

// The baselines' forward, image to logits; reference.md H. Shapes: B images, C channels, K classes.
#include "train/network/resnet.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include "train/network/batch_norm.h"
#include "train/network/recompute.h"

namespace nestvit::train {

using torch::Tensor;

namespace {

// x with SAME padding for a window of `kernel` and `stride`: where the padding is uneven, the odd
// pixel is below and to the right. `rest` is left to the operation itself.
Tensor same_padded(const Tensor& x, int64_t kernel, int64_t stride, double value, int64_t* rest) {
  const int64_t size = x.size(3), out = (size + stride - 1) / stride;
  const int64_t total = std::max<int64_t>(0, (out - 1) * stride + kernel - size);
  const int64_t low = total / 2, high = total - low;
  *rest = low == high ? low : 0;
  return low == high ? x : torch::constant_pad_nd(x, {low, high, low, high}, value);
}

Tensor max_pool(const Tensor& x) {  // 3x3, stride 2, SAME
  int64_t rest = 0;
  const Tensor padded = same_padded(x, 3, 2, -std::numeric_limits<double>::infinity(), &rest);
  return torch::max_pool2d(padded, /*kernel=*/3, /*stride=*/2, /*padding=*/rest);
}

}  // namespace

// A convolution without bias and the norm after it. They stand under two names of the module that
// owns them, as timm has it.
class ConvNorm {
 public:
  ConvNorm(torch::nn::Module& owner, const std::string& conv, const std::string& norm, int64_t in,
           int64_t out, int64_t kernel, int64_t stride)
      : kernel_(kernel), stride_(stride) {
    const auto conv_module = owner.register_module(conv, std::make_shared<Part>());
    weight_ = conv_module->register_parameter("weight", torch::empty({out, in, kernel, kernel}));
    norm_ = owner.register_module(norm, std::make_shared<BatchNormModule>(out));
  }

  Tensor forward(const Tensor& x) {  // [B, C, H, H] -> [B, C', H/stride, H/stride]
    int64_t rest = 0;
    const Tensor padded = same_padded(x, kernel_, stride_, /*value=*/0, &rest);
    const Tensor y = torch::conv2d(padded, weight_, /*bias=*/{}, stride_, /*padding=*/rest);
    return batch_norm(y, norm_->batch, norm_->is_training());
  }

 private:
  struct Part : torch::nn::Module {};
  struct BatchNormModule : torch::nn::Module, HasBatchNorm {
    explicit BatchNormModule(int64_t width) {
      batch.weight = register_parameter("weight", torch::empty({width}));
      batch.bias = register_parameter("bias", torch::empty({width}));
      batch.mean = register_buffer("running_mean", torch::zeros({width}));
      batch.var = register_buffer("running_var", torch::ones({width}));
    }
  };

  int64_t kernel_, stride_;
  Tensor weight_;
  std::shared_ptr<BatchNormModule> norm_;
};

// relu(x' + branch), where x' is the input, or its projection to the branch's shape.
class ResidualBlock : public torch::nn::Module {
 public:
  ResidualBlock(ResNetBlock kind, const ResNetStage& stage, int k) {
    const int64_t in = k == 0 ? stage.in : stage.out;
    const int64_t stride = k == 0 ? stage.stride : 1;
    if (kind == ResNetBlock::kBasic) {
      add(in, stage.width, 3, stride);
      add(stage.width, stage.out, 3, 1);
    } else {
      add(in, stage.width, 1, 1);
      add(stage.width, stage.width, 3, stride);
      add(stage.width, stage.out, 1, 1);
    }
    if (!stage.projects(k)) return;
    auto downsample = register_module("downsample", std::make_shared<Downsample>());
    shortcut_.emplace(*downsample, "0", "1", in, stage.out, 1, stride);
  }

  Tensor forward(const Tensor& x) {
    Tensor y = x;
    for (size_t i = 0; i < branch_.size(); ++i) {
      if (i > 0) y = torch::relu(y);
      y = branch_[i].forward(y);
    }
    return torch::relu(y + (shortcut_ ? shortcut_->forward(x) : x));
  }

 private:
  struct Downsample : torch::nn::Module {};

  void add(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
    const std::string number = std::to_string(branch_.size() + 1);
    branch_.emplace_back(*this, "conv" + number, "bn" + number, in, out, kernel, stride);
  }

  std::vector<ConvNorm> branch_;
  std::optional<ConvNorm> shortcut_;
};

ResNet::ResNet(const ResNetConfig& config) : config_(config) {
  const std::vector<ResNetStage> stages = nestvit::stages(config);
  stem_ = std::make_shared<ConvNorm>(*this, "conv1", "bn1", config.in_channels, kResNetStem,
                                     config.small_stem ? 3 : 7, config.small_stem ? 1 : 2);
  for (const ResNetStage& stage : stages) {
    auto layer = register_module("layer" + std::to_string(stage.index + 1),
                                 std::make_shared<torch::nn::Module>());
    for (int k = 0; k < stage.blocks; ++k)
      blocks_.push_back(layer->register_module(
          std::to_string(k), std::make_shared<ResidualBlock>(config.block, stage, k)));
  }
  fc_ = register_module("fc", std::make_shared<torch::nn::Module>());
  fc_weight_ =
      fc_->register_parameter("weight", torch::empty({config.num_classes, stages.back().out}));
  fc_bias_ = fc_->register_parameter("bias", torch::empty({config.num_classes}));
}

Tensor ResNet::forward(Tensor x) {
  check_input(x, config_.in_channels, config_.image_size);
  x = stem_->forward(x);  // [B, 64, S, S], or S/2
  x = config_.small_stem ? torch::relu(x) : max_pool(x);
  for (const auto& block : blocks_) {  // [B, C, H, H]
    const auto forward = [&block](const Tensor& y) { return block->forward(y); };
    x = grad_checkpointing_ && is_training() ? recomputed(forward, x) : forward(x);
  }
  return torch::linear(x.mean({2, 3}), fc_weight_, fc_bias_);  // [B, C] -> [B, K]
}

}  // namespace nestvit::train

// The three baselines, their stages and their tensors.
#include "model/resnet.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/check.h"

namespace nestvit {
namespace {

constexpr int kLargestSide = 1 << 14;  // as for NesT

std::vector<ResNetConfig> make_resnets() {
  ResNetConfig cifar;
  ResNetConfig small = cifar;
  small.variant = "resnet18";
  small.image_size = 224;
  small.num_classes = 1000;
  small.small_stem = false;
  ResNetConfig deep = small;
  deep.variant = "resnet50";
  deep.block = ResNetBlock::kBottleneck;
  deep.depths = {3, 4, 6, 3};
  deep.zero_init_last = false;  // although the official comment claims it
  return {small, deep, cifar};
}

const std::vector<ResNetConfig>& all_resnets() {
  static const std::vector<ResNetConfig> all = make_resnets();
  return all;
}

int halved(int side) { return (side + 1) / 2; }  // SAME, stride 2

// Every convolution in order, its norm after it, then the head. One walk for tensors and costs.
class Walk {
 public:
  explicit Walk(const ResNetConfig& config) : config_(config) {}

  void run() {
    const int side = config_.image_size;
    if (config_.small_stem)
      convolution("conv1", "bn1", config_.in_channels, kResNetStem, 3, side);
    else
      convolution("conv1", "bn1", config_.in_channels, kResNetStem, 7, halved(side));
    int channels = kResNetStem;
    for (const ResNetStage& stage : stages(config_)) {
      level_ = stage.index;
      for (int k = 0; k < stage.blocks; ++k, channels = stage.out) {
        ++layer_;
        add_block(stage, k, channels);
      }
    }
    level_ = static_cast<int>(config_.depths.size());
    ++layer_;
    add("fc.weight", {config_.num_classes, channels}, Init::kZeros, FlaxLayout::kDense).matrix =
        true;
    add("fc.bias", {config_.num_classes}, Init::kZeros, FlaxLayout::kSame);
    cost += int64_t{channels} * config_.num_classes;
  }

  std::vector<Param> table;
  int64_t cost = 0;  // multiply-accumulates

 private:
  void add_block(const ResNetStage& stage, int k, int in) {
    const std::string prefix = fmt::format("layer{}.{}.", stage.index + 1, k);
    const auto conv = [&](int number, int from, int to, int kernel, int map) {
      convolution(fmt::format("{}conv{}", prefix, number), fmt::format("{}bn{}", prefix, number),
                  from, to, kernel, map);
    };
    if (config_.block == ResNetBlock::kBasic) {
      conv(1, in, stage.width, 3, stage.map);
      conv(2, stage.width, stage.out, 3, stage.map);
    } else {
      conv(1, in, stage.width, 1, k == 0 ? stage.map_in : stage.map);
      conv(2, stage.width, stage.width, 3, stage.map);
      conv(3, stage.width, stage.out, 1, stage.map);
    }
    if (config_.zero_init_last) last_scale_->init = Init::kZeros;
    if (stage.projects(k))
      convolution(prefix + "downsample.0", prefix + "downsample.1", in, stage.out, 1, stage.map);
  }

  // `map`: pixels per side that go out.
  void convolution(const std::string& name, const std::string& norm, int in, int out, int kernel,
                   int map) {
    add(name + ".weight", {out, in, kernel, kernel}, Init::kLecunNormal, FlaxLayout::kConv).matrix =
        true;
    cost += int64_t{map} * map * kernel * kernel * in * out;
    const size_t scale = table.size();
    add(norm + ".weight", {out}, Init::kOnes, FlaxLayout::kSame);
    add(norm + ".bias", {out}, Init::kZeros, FlaxLayout::kSame);
    add(norm + ".running_mean", {out}, Init::kZeros, FlaxLayout::kSame).buffer = true;
    add(norm + ".running_var", {out}, Init::kOnes, FlaxLayout::kSame).buffer = true;
    last_scale_ = &table[scale];
  }

  Param& add(std::string name, std::vector<int64_t> shape, Init init, FlaxLayout layout) {
    Param param;
    param.name = std::move(name);
    param.shape = std::move(shape);
    param.init = init;
    param.level = level_;
    param.layer = layer_;
    param.heads = 0;
    param.layout = layout;
    return table.emplace_back(std::move(param));
  }

  const ResNetConfig& config_;
  Param* last_scale_ = nullptr;  // of the convolution just added
  int level_ = -1;
  int layer_ = 0;
};

Walk walked(const ResNetConfig& config) {
  Walk walk(config);
  walk.run();
  return walk;
}

}  // namespace

std::vector<ResNetStage> stages(const ResNetConfig& config) {
  for (const auto& [key, value, high] : {std::tuple{"image_size", config.image_size, kLargestSide},
                                         {"in_channels", config.in_channels, 1024},
                                         {"num_classes", config.num_classes, 1 << 24}})
    if (value < 1 || value > high)
      throw UsageError(fmt::format("{} is {}; it must be between 1 and {}", key, value, high));
  std::vector<ResNetStage> result;
  int side = config.small_stem ? config.image_size : halved(halved(config.image_size));
  int channels = kResNetStem;
  for (size_t i = 0; i < config.depths.size(); ++i) {
    ResNetStage stage{};
    stage.index = static_cast<int>(i);
    stage.blocks = config.depths[i];
    stage.stride = i == 0 ? 1 : 2;
    stage.in = channels;
    stage.width = 64 << i;
    stage.out = config.block == ResNetBlock::kBasic ? stage.width : 4 * stage.width;
    stage.map_in = side;
    stage.map = side = i == 0 ? side : halved(side);
    channels = stage.out;
    result.push_back(stage);
  }
  return result;
}

std::vector<Param> parameter_table(const ResNetConfig& config) { return walked(config).table; }

int64_t multiply_accumulates(const ResNetConfig& config) { return walked(config).cost; }

const std::vector<std::string>& resnet_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const ResNetConfig& config : all_resnets()) list.push_back(config.variant);
    return list;
  }();
  return names;
}

bool is_resnet(const std::string& name) {
  return std::find(resnet_names().begin(), resnet_names().end(), name) != resnet_names().end();
}

ResNetConfig resnet(const std::string& name) {
  for (const ResNetConfig& config : all_resnets())
    if (config.variant == name) return config;
  NESTVIT_CHECK(false);
}

}  // namespace nestvit

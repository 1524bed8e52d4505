// Packs the tensors of a model.
#include "runtime/packed/weights.h"

#include <fmt/format.h>

#include <cmath>
#include <thread>

namespace nestvit {
namespace {

constexpr int64_t kStrassenRows = 16;  // from here on seven products are faster than eight

class Packer {
 public:
  Packer(const LoadedModel& model, NumberType precision)
      : model_(model), config_(model.config), levels_(geometry(config_)), precision_(precision) {
    verify_tensors(model.tensors, config_, model.origin, Widening::kLater);
  }

  PackedModel build() {
    PackedModel packed{
        .patch_embedding = linear("patch_embed.proj", levels_.front().width, NumberType::kF32),
        .levels = {},
        .norm = norm("norm", config_.norm_type),
        .head = linear("head", config_.num_classes, NumberType::kF32)};
    for (const Level& shape : levels_) packed.levels.push_back(level(shape));
    return packed;
  }

 private:
  std::vector<float> values(const std::string& name) const {
    return find_tensor(model_.tensors, name, model_.origin).to_f32();
  }
  bool multi_query() const { return config_.attn_type == Attention::kMultiQuery; }

  // Short types are widened one tensor at a time, so that at most one layer of them exists in f32.
  Tensor f32(const std::string& name) const {
    return widened(find_tensor(model_.tensors, name, model_.origin));
  }
  Linear linear(const std::string& name, int64_t n, NumberType precision) const {
    Linear packed(f32(name + ".weight").as<float>(), f32(name + ".bias").as<float>(), n, precision);
    forget(name);
    return packed;
  }
  // The file's copy of a packed weight is not needed any more.
  void forget(const std::string& name) const {
    find_tensor(model_.tensors, name + ".weight", model_.origin).forget();
  }
  PackedNorm norm(const std::string& name, Norm kind) const {
    PackedNorm norm{kind, values(name + ".weight"), values(name + ".bias")};
    if (kind != Norm::kBatch) return norm;
    const auto mean = values(name + ".running_mean"), variance = values(name + ".running_var");
    for (size_t c = 0; c < mean.size(); ++c) {
      const double scale = norm.scale[c] / std::sqrt(variance[c] + kBatchNormEps);
      norm.shift[c] = static_cast<float>(norm.shift[c] - mean[c] * scale);
      norm.scale[c] = static_cast<float>(scale);
    }
    return norm;
  }

  PackedLevel level(const Level& shape) const {
    const std::string prefix = fmt::format("levels.{}.", shape.index);
    const int64_t C = shape.width, H = shape.heads, D = shape.head_dim;
    const int64_t kv_heads = multi_query() ? 1 : H;
    const int64_t processors = std::thread::hardware_concurrency();  // 0 where it is unknown
    PackedLevel level{.shape = shape,
                      .attention = {.tokens = shape.tokens,
                                    .heads = H,
                                    .head_dim = D,
                                    .kv_heads = kv_heads,
                                    .ld = C + 2 * kv_heads * D,
                                    .ld_out = C},
                      .mlp = mlp_width(config_, shape.width),
                      .use_strassen = shape.blocks * shape.tokens >= kStrassenRows * processors,
                      .conv = {},
                      .pool_norm = {},
                      .position = values(prefix + "pos_embed"),
                      .layers = {}};
    if (shape.index > 0) {
      level.conv = convolution(prefix + "pool.conv", levels_[shape.index - 1], shape);
      level.pool_norm = norm(prefix + "pool.norm", Norm::kLayer);  // whatever norm_type says
    }
    for (int j = 0; j < shape.depth; ++j)
      level.layers.push_back(layer(level, fmt::format("{}transformer_encoder.{}.", prefix, j)));
    return level;
  }

  PackedLayer layer(const PackedLevel& level, const std::string& prefix) const {
    const int64_t C = level.shape.width;
    return {.norm1 = norm(prefix + "norm1", config_.norm_type),
            .qkv = qkv(level, prefix + "attn."),
            .proj = projection(level, prefix + "attn.proj"),
            .norm2 = norm(prefix + "norm2", config_.norm_type),
            .fc1 = linear(prefix + "mlp.fc1", level.mlp, precision_),
            .fc2 = linear(prefix + "mlp.fc2", C, precision_)};
  }

  Linear projection(const PackedLevel& level, const std::string& name) const {
    Linear packed(by_heads(values(name + ".weight"), level.shape), values(name + ".bias"),
                  level.shape.width, precision_);
    forget(name);
    return packed;
  }

  Linear qkv(const PackedLevel& level, const std::string& prefix) const {
    std::vector<float> weight, bias;
    for (const char* part : multi_query() ? std::vector{"q", "kv"} : std::vector{"qkv"}) {
      const auto more = values(prefix + part + ".weight");
      forget(prefix + part);
      weight.insert(weight.end(), more.begin(), more.end());
      if (!config_.qkv_bias) continue;
      const auto rest = values(prefix + part + ".bias");
      bias.insert(bias.end(), rest.begin(), rest.end());
    }
    return {weight, bias, level.attention.ld, precision_};
  }

  Convolution convolution(const std::string& name, const Level& from, const Level& to) const {
    Convolution packed(f32(name + ".weight").as<float>(), f32(name + ".bias").as<float>(), to.width,
                       from.map(), precision_);
    forget(name);
    return packed;
  }

  const LoadedModel& model_;
  const NestConfig& config_;
  const std::vector<Level> levels_;
  const NumberType precision_;
};

}  // namespace

std::vector<float> by_heads(const std::vector<float>& weight, const Level& level) {
  const int64_t C = level.width, H = level.heads, D = level.head_dim;
  std::vector<float> ordered(weight.size());
  for (int64_t row = 0; row < C; ++row)
    for (int64_t h = 0; h < H; ++h)
      for (int64_t d = 0; d < D; ++d) ordered[row * C + h * D + d] = weight[row * C + d * H + h];
  return ordered;
}

PackedModel pack(const LoadedModel& model, NumberType precision) {
  return Packer(model, precision).build();
}

}  // namespace nestvit

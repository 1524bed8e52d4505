// Turns the tensors of a model into packed weights, and counts buffers.
#include "runtime/plain/weights.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace nestvit {
namespace {

class Packer {
 public:
  explicit Packer(const LoadedModel& model)
      : model_(model), config_(model.config), levels_(geometry(config_)) {
    verify_tensors(model.tensors, config_, model.origin, Widening::kLater);
  }

  PackedModel build() {
    const Level& first = levels_.front();
    const Level& last = levels_.back();
    const int64_t token = config_.init_patch_embed_size;
    PackedModel packed{
        linear("patch_embed.proj", first.width, config_.in_channels * token * token, rows(first)),
        {},
        norm("norm", config_.norm_type),
        linear("head", config_.num_classes, last.width, 1)};
    for (const Level& shape : levels_) packed.levels.push_back(level(shape));
    return packed;
  }

 private:
  std::vector<float> values(const std::string& name) const {
    return find_tensor(model_.tensors, name, model_.origin).to_f32();
  }
  static int64_t rows(const Level& level) { return int64_t{level.blocks} * level.tokens; }

  Linear linear(const std::string& name, int64_t n, int64_t k, int64_t usual_m,
                bool bias = true) const {
    return Linear(values(name + ".weight"), bias ? values(name + ".bias") : std::vector<float>(), n,
                  k, usual_m);
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
    PackedLevel level{shape, {}, {}, values(prefix + "pos_embed"), {}};
    if (shape.index > 0) {
      const Level& below = levels_[shape.index - 1];
      level.pool_conv.emplace(values(prefix + "pool.conv.weight"),
                              values(prefix + "pool.conv.bias"), shape.width, below.width,
                              below.map(), below.map());
      level.pool_norm = norm(prefix + "pool.norm", Norm::kLayer);  // whatever norm_type says
    }
    for (int j = 0; j < shape.depth; ++j)
      level.layers.push_back(layer(shape, fmt::format("{}transformer_encoder.{}.", prefix, j)));
    return level;
  }

  PackedLayer layer(const Level& level, const std::string& prefix) const {
    const int64_t C = level.width, m = rows(level), hidden = mlp_width(config_, level.width);
    const bool multi_query = config_.attn_type == Attention::kMultiQuery;
    const std::string attn = prefix + "attn.";
    PackedLayer layer{
        norm(prefix + "norm1", config_.norm_type),
        linear(attn + (multi_query ? "q" : "qkv"), multi_query ? C : 3 * C, C, m, config_.qkv_bias),
        {},
        projection(attn + "proj", level),
        norm(prefix + "norm2", config_.norm_type),
        linear(prefix + "mlp.fc1", hidden, C, m),
        linear(prefix + "mlp.fc2", C, hidden, m)};
    if (multi_query)
      layer.kv.emplace(linear(attn + "kv", 2 * int64_t{level.head_dim}, C, m, config_.qkv_bias));
    return layer;
  }

  Linear projection(const std::string& name, const Level& level) const {
    const int64_t C = level.width;
    return Linear(by_heads(values(name + ".weight"), level), values(name + ".bias"), C, C,
                  rows(level));
  }

  const LoadedModel& model_;
  const NestConfig& config_;
  const std::vector<Level> levels_;
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

PackedModel pack(const LoadedModel& model) { return Packer(model).build(); }

BufferSizes buffer_sizes(const NestConfig& config) {
  BufferSizes sizes;
  int64_t below = 0;  // rows of the level below, which ConvPool's convolution still has
  for (const Level& level : geometry(config)) {
    const int64_t rows = int64_t{level.blocks} * level.tokens, C = level.width;
    const int64_t key_value =
        config.attn_type == Attention::kMultiQuery ? 2 * int64_t{level.head_dim} : 2 * C;
    sizes.stream = std::max(sizes.stream, rows * C);
    sizes.branch = std::max({sizes.branch, rows * C, below * C});
    sizes.wide =
        std::max({sizes.wide, rows * (C + key_value), rows * mlp_width(config, level.width)});
    if (level.index == 0)
      sizes.wide =
          std::max(sizes.wide, int64_t{config.in_channels} * config.image_size * config.image_size);
    below = rows;
  }
  return sizes;
}

void Buffer::Free::operator()(float* p) const { std::free(p); }

float* Buffer::reserve(int64_t count) {
  constexpr int64_t kLine = 16;  // floats in a cache line of 64 bytes
  if (count > capacity_) {
    const int64_t rounded = (count + kLine - 1) / kLine * kLine;
    data_.reset();
    capacity_ = 0;
    data_.reset(
        static_cast<float*>(std::aligned_alloc(kLine * sizeof(float), rounded * sizeof(float))));
    if (!data_)
      throw Error(fmt::format("no memory for a buffer of {} MB", rounded * 4 / 1000000),
                  "use a smaller model or image, or fewer threads");
    capacity_ = rounded;
  }
  return data_.get();
}

}  // namespace nestvit

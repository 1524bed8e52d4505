// Transposes the tensors of a model and packs them.
#include "runtime/packed/transposed.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/packed/weights.h"

namespace nestvit {
namespace {

using Floats = std::vector<float>;

// Rows [first, first + rows) of w [.., k], transposed: [k, rows]. In tiles, whose cache lines are
// used whole.
Floats transposed(const Floats& w, int64_t first, int64_t rows, int64_t k) {
  constexpr int64_t kTile = 16;
  Floats result(static_cast<size_t>(rows * k));
  for (int64_t r = 0; r < rows; r += kTile)
    for (int64_t c = 0; c < k; c += kTile)
      for (int64_t i = r; i < std::min(r + kTile, rows); ++i)
        for (int64_t j = c; j < std::min(c + kTile, k); ++j)
          result[j * rows + i] = w[(first + i) * k + j];
  return result;
}

// [C', C, 3, 3] -> [C, C', 3, 3], each kernel turned by half a circle.
Floats turned(const Floats& w, int64_t out, int64_t in) {
  Floats result(w.size());
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i)
      for (int64_t t = 0; t < 9; ++t) result[(i * out + o) * 9 + 8 - t] = w[(o * in + i) * 9 + t];
  return result;
}

class Packer {
 public:
  explicit Packer(const LoadedModel& model)
      : model_(model), config_(model.config), levels_(geometry(config_)) {
    verify_tensors(model.tensors, config_, model.origin, Widening::kLater);
  }

  TransposedModel build() const {
    TransposedModel packed{.patch_embedding = linear("patch_embed.proj", levels_.front().width),
                           .levels = {},
                           .head = linear("head", config_.num_classes)};
    for (const Level& shape : levels_) packed.levels.push_back(level(shape));
    return packed;
  }

 private:
  Floats weight(const std::string& name) const {
    const Tensor& tensor = find_tensor(model_.tensors, name + ".weight", model_.origin);
    Floats values = tensor.to_f32();
    tensor.forget();
    return values;
  }
  // Rows [first, first + rows) of w [.., k] as the weight of dy W.
  static Linear product(const Floats& w, int64_t first, int64_t rows, int64_t k) {
    return {transposed(w, first, rows, k), Floats{}, k};
  }
  Linear linear(const std::string& name, int64_t rows) const {
    const Floats w = weight(name);
    return product(w, 0, rows, static_cast<int64_t>(w.size()) / rows);
  }

  TransposedLevel level(const Level& shape) const {
    const std::string prefix = fmt::format("levels.{}.", shape.index);
    TransposedLevel level;
    if (shape.index > 0) {
      const Level& below = levels_[static_cast<size_t>(shape.index - 1)];
      const Floats w = turned(weight(prefix + "pool.conv"), shape.width, below.width);
      level.conv.emplace(w, Floats(static_cast<size_t>(below.width)), below.width, below.map(),
                         NumberType::kF32);
    }
    for (int j = 0; j < shape.depth; ++j)
      level.layers.push_back(layer(shape, fmt::format("{}transformer_encoder.{}.", prefix, j)));
    return level;
  }

  TransposedLayer layer(const Level& shape, const std::string& prefix) const {
    const int64_t C = shape.width, M = mlp_width(config_, shape.width);
    const bool multi_query = config_.attn_type == Attention::kMultiQuery;
    const int64_t values = multi_query ? shape.head_dim : C;  // and as many keys
    Floats qkv = weight(prefix + (multi_query ? "attn.q" : "attn.qkv"));
    if (multi_query) {
      const Floats kv = weight(prefix + "attn.kv");
      qkv.insert(qkv.end(), kv.begin(), kv.end());
    }
    return {.queries_keys = product(qkv, 0, C + values, C),
            .values = product(qkv, C + values, values, C),
            .proj = product(by_heads(weight(prefix + "attn.proj"), shape), 0, C, C),
            .fc1 = linear(prefix + "mlp.fc1", M),
            .fc2 = linear(prefix + "mlp.fc2", C)};
  }

  const LoadedModel& model_;
  const NestConfig& config_;
  const std::vector<Level> levels_;
};

}  // namespace

TransposedModel pack_transposed(const LoadedModel& model) { return Packer(model).build(); }

}  // namespace nestvit

// Builds the parameter table level by level, in timm's state_dict order.
#include "model/params.h"

#include <fmt/format.h>

namespace nestvit {
namespace {

class Table {
 public:
  explicit Table(const NestConfig& config) : config_(config), levels_(geometry(config)) {}

  std::vector<Param> build() {
    const int token = config_.init_patch_embed_size;
    level_ = -1;
    matrix("patch_embed.proj.weight", {levels_[0].width, config_.in_channels, token, token},
           "PatchEmbedding_0/Conv_0/kernel", FlaxLayout::kConv);
    vector("patch_embed.proj.bias", levels_[0].width, Init::kZeros, "PatchEmbedding_0/Conv_0/bias");
    for (const Level& level : levels_) add_level(level);
    level_ = static_cast<int>(levels_.size());
    const int width = levels_.back().width;
    norm("norm", width, config_.norm_type, "", 0);
    ++layer_;
    matrix("head.weight", {config_.num_classes, width}, "Dense_0/kernel", FlaxLayout::kDense);
    vector("head.bias", config_.num_classes, Init::kZeros, "Dense_0/bias");
    return std::move(table_);
  }

 private:
  Param& add(std::string name, std::vector<int64_t> shape, Init init, std::vector<std::string> flax,
             FlaxLayout layout, int heads = 0) {
    Param param;
    param.name = std::move(name);
    param.shape = std::move(shape);
    param.init = init;
    param.level = level_;
    param.layer = layer_;
    param.heads = heads;
    param.flax = std::move(flax);
    param.layout = layout;
    return table_.emplace_back(std::move(param));
  }

  void matrix(std::string name, std::vector<int64_t> shape, std::string flax, FlaxLayout layout) {
    add(std::move(name), std::move(shape), Init::kTruncatedNormal, {std::move(flax)}, layout)
        .matrix = true;
  }

  void vector(std::string name, int64_t size, Init init, std::string flax,
              FlaxLayout layout = FlaxLayout::kSame) {
    add(std::move(name), {size}, init, {std::move(flax)}, layout);
  }

  // `scope` is the Flax module that holds the norm, "" or ending in "/"; `number` its number there.
  void norm(const std::string& name, int width, Norm kind, const std::string& scope, int number) {
    const char* type = kind == Norm::kLayer   ? "LayerNorm"
                       : kind == Norm::kBatch ? "BatchNorm"
                                              : "GroupNorm";
    const std::string path = fmt::format("{}{}_{}/", scope, type, number);
    const auto layout = kind == Norm::kGroup ? FlaxLayout::kGroupNorm : FlaxLayout::kSame;
    vector(name + ".weight", width, Init::kOnes, path + "scale", layout);
    vector(name + ".bias", width, Init::kZeros, path + "bias", layout);
    if (kind != Norm::kBatch) return;
    vector(name + ".running_mean", width, Init::kZeros, path + "mean");
    table_.back().buffer = true;
    vector(name + ".running_var", width, Init::kOnes, path + "var");
    table_.back().buffer = true;
  }

  void add_level(const Level& level) {
    level_ = level.index;
    layer_ = 1 + level.first_layer;
    const std::string prefix = fmt::format("levels.{}.", level.index);
    add(prefix + "pos_embed", {1, level.blocks, level.tokens, level.width}, Init::kTruncatedNormal,
        {fmt::format("PositionEmbedding_{}/pos_embedding", level.index)}, FlaxLayout::kSame);
    if (level.index > 0) {
      // timm counts the ConvPool with the level it feeds, Flax by the level it leaves.
      const std::string path = fmt::format("ConvPool_{}/", level.index - 1);
      matrix(prefix + "pool.conv.weight", {level.width, levels_[level.index - 1].width, 3, 3},
             path + "Conv_0/kernel", FlaxLayout::kConv);
      vector(prefix + "pool.conv.bias", level.width, Init::kZeros, path + "Conv_0/bias");
      norm(prefix + "pool.norm", level.width, Norm::kLayer, path, 0);  // whatever norm_type says
    }
    for (int j = 0; j < level.depth; ++j) {
      layer_ = 1 + level.first_layer + j;
      add_layer(level, fmt::format("{}transformer_encoder.{}.", prefix, j),
                fmt::format("EncoderNDBlock_{}/", level.first_layer + j));
    }
  }

  void add_layer(const Level& level, const std::string& name, const std::string& path) {
    norm(name + "norm1", level.width, config_.norm_type, path, 0);
    add_attention(level, name + "attn.", path);
    norm(name + "norm2", level.width, config_.norm_type, path, 1);
    const int width = level.width, hidden = mlp_width(config_, level.width);
    matrix(name + "mlp.fc1.weight", {hidden, width}, path + "MlpBlock_0/Dense_0/kernel",
           FlaxLayout::kDense);
    vector(name + "mlp.fc1.bias", hidden, Init::kZeros, path + "MlpBlock_0/Dense_0/bias");
    matrix(name + "mlp.fc2.weight", {width, hidden}, path + "MlpBlock_0/Dense_1/kernel",
           FlaxLayout::kDense);
    vector(name + "mlp.fc2.bias", width, Init::kZeros, path + "MlpBlock_0/Dense_1/bias");
  }

  void add_attention(const Level& level, const std::string& name, const std::string& layer) {
    const int64_t width = level.width;
    const bool multi_query = config_.attn_type == Attention::kMultiQuery;
    const std::string path =
        layer + (multi_query ? "MultiQueryAttention_0/" : "MultiHeadAttention_0/");
    const std::string query = path + "DenseGeneral_0/",
                      key_value = path + (multi_query ? "Dense_0/" : "DenseGeneral_1/");
    if (multi_query) {
      matrix(name + "q.weight", {width, width}, query + "kernel", FlaxLayout::kQuery);
      table_.back().heads = level.heads;
      if (config_.qkv_bias)
        add(name + "q.bias", {width}, Init::kZeros, {query + "bias"}, FlaxLayout::kQueryBias,
            level.heads);
      matrix(name + "kv.weight", {2 * level.head_dim, width}, key_value + "kernel",
             FlaxLayout::kDense);
      if (config_.qkv_bias)
        vector(name + "kv.bias", 2 * level.head_dim, Init::kZeros, key_value + "bias");
    } else {
      add(name + "qkv.weight", {3 * width, width}, Init::kTruncatedNormal,
          {query + "kernel", key_value + "kernel"}, FlaxLayout::kQkv, level.heads)
          .matrix = true;
      if (config_.qkv_bias)
        add(name + "qkv.bias", {3 * width}, Init::kZeros, {query + "bias", key_value + "bias"},
            FlaxLayout::kQkvBias, level.heads);
    }
    add(name + "proj.weight", {width, width}, Init::kTruncatedNormal, {path + "proj_kernel"},
        FlaxLayout::kProjection, level.heads)
        .matrix = true;
    vector(name + "proj.bias", width, Init::kZeros, path + "bias");
  }

  const NestConfig& config_;
  std::vector<Level> levels_;
  std::vector<Param> table_;
  int level_ = -1;
  int layer_ = 0;
};

}  // namespace

int64_t Param::size() const {
  int64_t count = 1;
  for (int64_t dim : shape) count *= dim;
  return count;
}

std::vector<Param> parameter_table(const NestConfig& config) { return Table(config).build(); }

std::vector<int64_t> parameters_by_part(const std::vector<Param>& table) {
  std::vector<int64_t> counts;
  for (const Param& param : table) {
    const int part = param.level + 1;
    if (part >= std::ssize(counts)) counts.resize(static_cast<size_t>(part) + 1);
    if (!param.buffer) counts[part] += param.size();
  }
  return counts;
}

int64_t parameter_count(const std::vector<Param>& table) {
  int64_t count = 0;
  for (const Param& param : table)
    if (!param.buffer) count += param.size();
  return count;
}

int64_t parameter_count(const NestConfig& config) {
  return parameter_count(parameter_table(config));
}

bool is_head(const std::string& name) {
  return name.starts_with("head.") || name.starts_with("fc.");
}

bool is_stem(const std::string& name) {
  return name == "patch_embed.proj.weight" || name == "conv1.weight";
}

bool decayed(const Param& param, const std::vector<std::string>& ignore) {
  for (const std::string& part : ignore) {
    if (param.name.find(part) != std::string::npos) return false;
    for (const std::string& path : param.flax)
      if (("/" + path).find(part) != std::string::npos) return false;
  }
  return true;
}

}  // namespace nestvit

// The named variants, their geometry and its checks, and the cost of a forward.
#include "model/nest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <cmath>
#include <numeric>

#include "base/check.h"

namespace nestvit {
namespace {

// Far above any sensible model; they keep products inside 64 bits.
constexpr int kLargestSide = 1 << 14;
constexpr int kLargestWidth = 1 << 16;

// reference.md A.6
NestConfig imagenet_config(std::string name, int width, int heads, int last_depth,
                           double drop_path) {
  NestConfig config;
  config.variant = std::move(name);
  config.image_size = 224;
  config.num_classes = 1000;
  config.init_patch_embed_size = 4;
  config.patch_size = 14;
  config.num_layers_per_block = {2, 2, last_depth};
  config.embedding_dim = width;
  config.num_heads = heads;
  config.scale_hidden_dims = 2;
  config.attn_type = Attention::kMultiHead;
  config.stochastic_depth_drop = drop_path;
  return config;
}

NestConfig cifar_config(std::string name, int width, int heads) {
  NestConfig config;  // the defaults are the tiny one's
  config.variant = std::move(name);
  config.embedding_dim = width;
  config.num_heads = heads;
  return config;
}

NestConfig timm_config(NestConfig config, std::string name, PoolPadding padding) {
  config.variant = std::move(name);
  config.gelu = Gelu::kErf;
  config.pool_padding = padding;
  return config;
}

std::vector<NestConfig> make_variants() {
  std::vector<NestConfig> all = {
      imagenet_config("nest_tiny_s196_224", 96, 3, 8, 0.2),
      imagenet_config("nest_small_s196_224", 96, 3, 20, 0.3),
      imagenet_config("nest_base_s196_224", 128, 4, 20, 0.5),
      cifar_config("nest_tiny_s16_32", 192, 3),
      cifar_config("nest_small_s16_32", 384, 6),
      cifar_config("nest_base_s16_32", 768, 12),
  };
  for (int i = 0; i < 3; ++i) {
    const NestConfig official = all[i];
    const std::string name = official.variant.substr(0, official.variant.find("_s196"));
    all.push_back(timm_config(official, name, PoolPadding::kSymmetric));
    all.push_back(timm_config(official, name + "_jx", PoolPadding::kSame));
  }
  return all;
}

const std::vector<NestConfig>& all_variants() {
  static const std::vector<NestConfig> all = make_variants();
  return all;
}

void check_range(const char* key, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high)
    throw UsageError(fmt::format("{} is {}; it must be between {} and {}", key, value, low, high));
}

void check_fields(const NestConfig& c) {
  check_range("image_size", c.image_size, 1, kLargestSide);
  check_range("in_channels", c.in_channels, 1, 1024);
  check_range("num_classes", c.num_classes, 1, 1 << 24);
  check_range("nest.init_patch_embed_size", c.init_patch_embed_size, 1, kLargestSide);
  check_range("nest.patch_size", c.patch_size, 1, kLargestSide);
  check_range("number of levels (nest.num_layers_per_block)",
              static_cast<int64_t>(c.num_layers_per_block.size()), 1, 12);
  for (int depth : c.num_layers_per_block)
    check_range("nest.num_layers_per_block entry", depth, 1, 1000);
  check_range("nest.embedding_dim", c.embedding_dim, 1, kLargestWidth);
  check_range("nest.num_heads", c.num_heads, 1, kLargestWidth);
  if (c.scale_hidden_dims) check_range("nest.scale_hidden_dims", *c.scale_hidden_dims, 1, 16);
  for (const auto* list : {&c.embed_dims, &c.level_heads}) {
    if (!list->empty() && list->size() != c.num_layers_per_block.size())
      throw UsageError(fmt::format("nest.{} has {} entries for {} levels",
                                   list == &c.embed_dims ? "embed_dims" : "level_heads",
                                   list->size(), c.num_layers_per_block.size()),
                       "give one entry per level, or none");
    for (int value : *list)
      check_range("nest.embed_dims / nest.level_heads entry", value, 1, kLargestWidth);
  }
  if (!(c.mlp_ratio > 0 && c.mlp_ratio <= 64))
    throw UsageError(
        fmt::format("nest.mlp_ratio is {}; it must be above 0 and at most 64", c.mlp_ratio));
  for (auto [key, rate] : {std::pair{"attn_drop", c.attn_drop},
                           {"proj_drop", c.proj_drop},
                           {"stochastic_depth_drop", c.stochastic_depth_drop}})
    if (!(rate >= 0 && rate < 1))
      throw UsageError(fmt::format("nest.{} is {}; it must be at least 0 and below 1", key, rate));
}

// Multiples of `unit` on both sides of `value`.
std::string around(int value, int unit) {
  const int below = value / unit * unit;
  return below == 0 ? fmt::format("{}", unit) : fmt::format("{} or {}", below, below + unit);
}

// The grid of blocks at level 0: S / (e * p), which must be 2^(levels - 1).
int first_grid(const NestConfig& c) {
  const int size = c.image_size, token = c.init_patch_embed_size, block = c.patch_size;
  const int levels = static_cast<int>(c.num_layers_per_block.size());
  if (size % token != 0)
    throw UsageError(
        fmt::format("image_size {} must be a multiple of nest.init_patch_embed_size {}", size,
                    token),
        fmt::format("for example image_size {}", around(size, token)));
  const int tokens = size / token;
  if (tokens % block != 0)
    throw UsageError(fmt::format("nest.patch_size {} must divide the {} tokens per side "
                                 "(image_size {} / init_patch_embed_size {})",
                                 block, tokens, size, token),
                     fmt::format("for example image_size {}", around(size, token * block)));
  const int grid = tokens / block;
  const int wanted = 1 << (levels - 1);
  if (grid != wanted) {
    std::string hint = fmt::format("image_size {} fits these settings", token * block * wanted);
    if (tokens % wanted == 0 && tokens / wanted > 0)
      hint = fmt::format("nest.patch_size {} fits {} levels; ", tokens / wanted, levels) + hint;
    if ((grid & (grid - 1)) == 0)
      hint = fmt::format("give nest.num_layers_per_block {} entries; ",
                         static_cast<int>(std::log2(grid)) + 1) +
             hint;
    throw UsageError(
        fmt::format(
            "{} levels need 2^{} = {} blocks per side at the first level, but image_size {} / "
            "(init_patch_embed_size {} * patch_size {}) is {}",
            levels, levels - 1, wanted, size, token, block, grid),
        hint);
  }
  return grid;
}

void check_width(const NestConfig& c, const Level& level) {
  check_range("channels of a level", level.width, 1, kLargestWidth);
  if (mlp_width(c, level.width) < 1)
    throw UsageError(
        fmt::format("level {}: nest.mlp_ratio {} leaves no hidden unit for {} channels",
                    level.index, c.mlp_ratio, level.width),
        "the paper's ratio is 4");
  if (level.width % level.heads != 0)
    throw UsageError(fmt::format("level {}: {} heads must divide its {} channels", level.index,
                                 level.heads, level.width),
                     fmt::format("for example {} channels", around(level.width, level.heads)));
  if (c.norm_type == Norm::kGroup && level.width % kGroupNormGroups != 0)
    throw UsageError(
        fmt::format("level {}: norm_type GN has {} groups, which must divide its {} channels",
                    level.index, kGroupNormGroups, level.width),
        fmt::format("for example {} channels", around(level.width, kGroupNormGroups)));
}

}  // namespace

Fields fields(NestConfig& c) {
  Fields f;
  f.add("init_patch_embed_size", &c.init_patch_embed_size, "edge of a token in pixels");
  f.add("patch_size", &c.patch_size, "edge of a block in tokens");
  f.add("num_layers_per_block", &c.num_layers_per_block,
        "encoder layers per level, image side first");
  f.add("embedding_dim", &c.embedding_dim, "channels of the first level");
  f.add("num_heads", &c.num_heads, "attention heads of the first level");
  f.add("scale_hidden_dims", &c.scale_hidden_dims,
        "growth of channels and heads per level; null: constant");
  f.add("embed_dims", &c.embed_dims,
        "channels per level, instead of embedding_dim and scale_hidden_dims");
  f.add("level_heads", &c.level_heads,
        "heads per level, instead of num_heads and scale_hidden_dims");
  f.choice("norm_type", &c.norm_type,
           {{Norm::kLayer, "LN"}, {Norm::kBatch, "BN"}, {Norm::kGroup, "GN"}},
           "norm of the encoder layers and before the head");
  f.choice(
      "attn_type", &c.attn_type,
      {{Attention::kMultiHead, "local_multi_head"}, {Attention::kMultiQuery, "local_multi_query"}},
      "keys and values per head, or shared by all heads");
  f.add("mlp_ratio", &c.mlp_ratio, "hidden width of the MLP over its channels");
  f.add("qkv_bias", &c.qkv_bias, "biases of queries, keys and values");
  f.add("attn_drop", &c.attn_drop, "dropout on attention weights");
  f.add("proj_drop", &c.proj_drop, "dropout after attention and in the MLP");
  f.add("stochastic_depth_drop", &c.stochastic_depth_drop, "drop-path rate of the last layer");
  f.choice("gelu", &c.gelu, {{Gelu::kTanh, "tanh"}, {Gelu::kErf, "erf"}},
           "form of GELU: tanh as the paper's code, erf as timm");
  f.choice("pool_padding", &c.pool_padding,
           {{PoolPadding::kSame, "same"}, {PoolPadding::kSymmetric, "symmetric"}},
           "padding of the max-pool: same as the paper's code and nest_*_jx, symmetric as timm's "
           "nest_*");
  return f;
}

std::vector<Level> geometry(const NestConfig& config) {
  check_fields(config);
  int grid = first_grid(config);
  std::vector<Level> levels;
  int64_t width = config.embedding_dim, heads = config.num_heads;
  int first_layer = 0;
  for (size_t i = 0; i < config.num_layers_per_block.size(); ++i, grid /= 2) {
    if (i > 0 && config.scale_hidden_dims) {
      width *= *config.scale_hidden_dims;
      heads *= *config.scale_hidden_dims;
      check_range("channels of a level", width, 1, kLargestWidth);
    }
    Level level{};
    level.index = static_cast<int>(i);
    level.grid = grid;
    level.blocks = grid * grid;
    level.edge = config.patch_size;
    level.tokens = config.patch_size * config.patch_size;
    level.width = config.embed_dims.empty() ? static_cast<int>(width) : config.embed_dims[i];
    level.heads = config.level_heads.empty() ? static_cast<int>(heads) : config.level_heads[i];
    level.depth = config.num_layers_per_block[i];
    level.first_layer = first_layer;
    check_width(config, level);
    level.head_dim = level.width / level.heads;
    first_layer += level.depth;
    levels.push_back(level);
  }
  return levels;
}

int mlp_width(const NestConfig& config, int width) {
  return static_cast<int>(config.mlp_ratio * width);
}

int total_depth(const NestConfig& config) {
  int total = 0;
  for (int depth : config.num_layers_per_block) total += depth;
  return total;
}

double drop_path_rate(const NestConfig& config, int layer) {
  const int total = total_depth(config);
  NESTVIT_CHECK(layer >= 0 && layer < total);
  return total > 1 ? config.stochastic_depth_drop * layer / (total - 1) : 0.0;
}

const std::vector<std::string>& variant_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const NestConfig& config : all_variants()) list.push_back(config.variant);
    return list;
  }();
  return names;
}

NestConfig variant(const std::string& name) {
  for (const NestConfig& config : all_variants())
    if (config.variant == name) return config;
  unknown_model(name, variant_names());
}

void unknown_model(const std::string& name, const std::vector<std::string>& known) {
  const std::string close = nearest(name, known);
  throw UsageError(fmt::format("unknown model \"{}\"", name),
                   (close.empty() ? "" : fmt::format("did you mean {}? ", close)) +
                       fmt::format("known: {}", fmt::join(known, ", ")));
}

std::vector<int64_t> multiply_accumulates_by_part(const NestConfig& config) {
  const auto levels = geometry(config);
  std::vector<int64_t> parts(levels.size() + 2, 0);
  for (const Level& l : levels) {
    const int64_t plane = static_cast<int64_t>(l.map()) * l.map(), c = l.width;
    int64_t& level = parts[l.index + 1];
    if (l.index == 0) {
      const int64_t token = config.init_patch_embed_size;
      parts.front() = plane * token * token * config.in_channels * c;
    } else {
      // The 3x3 convolution runs before pooling, on the larger plane.
      const Level& below = levels[l.index - 1];
      level += static_cast<int64_t>(below.map()) * below.map() * 9 * below.width * c;
    }
    const int64_t kv = config.attn_type == Attention::kMultiQuery ? 2 * l.head_dim : 2 * c;
    const int64_t linear = c * (c + kv) + c * c + 2 * c * mlp_width(config, l.width);
    const int64_t attention = 2 * static_cast<int64_t>(l.tokens) * c;
    level += l.depth * plane * (linear + attention);
  }
  parts.back() = static_cast<int64_t>(levels.back().width) * config.num_classes;
  return parts;
}

int64_t multiply_accumulates(const NestConfig& config) {
  const std::vector<int64_t> parts = multiply_accumulates_by_part(config);
  return std::accumulate(parts.begin(), parts.end(), int64_t{0});
}

}  // namespace nestvit

// From names and shapes to a NestConfig. Shapes show everything but heads (timm fuses q, k and v),
// depths where two levels are equally wide (Flax numbers the layers of all levels), GELU and
// padding.
#include "weights/identify.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

namespace nestvit {
namespace {

constexpr int kMostLevels = 12, kMostLayers = 1000;
constexpr int kUsualHeadDim = 32;  // of all multi-head NesTs in the paper and in timm

struct LevelFacts {
  int64_t blocks = 0, tokens = 0, width = 0;
  int depth = 0, heads = 0;  // 0: unknown
};

struct Facts {
  int64_t token = 0, channels = 0, classes = 0, hidden = 0;
  std::vector<LevelFacts> levels;
  std::vector<int64_t> layer_widths;  // of all encoder layers, where the names do not say the level
  bool multi_query = false, qkv_bias = false;
  Norm norm = Norm::kLayer;
};

[[noreturn]] void no_nest(const std::string& origin, const std::string& why) {
  throw Error(fmt::format("{} is not a NesT: {}", origin, why),
              "expected are timm's tensor names or the official code's");
}

const Tensor& shaped(const TensorMap& tensors, const std::string& name, size_t rank,
                     const std::string& origin) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) no_nest(origin, fmt::format("it has no tensor {}", name));
  if (found->second.shape().size() != rank)
    no_nest(origin, fmt::format("{} is {}, expected {} axes", name,
                                shape_text(found->second.shape()), rank));
  return found->second;
}

int root_of(int64_t square, const std::string& what, const std::string& origin) {
  const auto root = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(square))));
  if (square < 1 || root * root != square || root > 1 << 14)
    no_nest(origin, fmt::format("{} {} do not make a square", square, what));
  return static_cast<int>(root);
}

void add_level(Facts& facts, const Tensor& embedding) {
  LevelFacts level;
  level.blocks = embedding.dim(1);
  level.tokens = embedding.dim(2);
  level.width = embedding.dim(3);
  facts.levels.push_back(level);
}

Facts timm_facts(const TensorMap& tensors, const std::string& origin) {
  Facts facts;
  const Tensor& patch = shaped(tensors, "patch_embed.proj.weight", 4, origin);
  facts.token = patch.dim(2);
  facts.channels = patch.dim(1);
  facts.classes =
      tensors.contains("head.weight") ? shaped(tensors, "head.weight", 2, origin).dim(0) : 1;
  for (int i = 0; i < kMostLevels; ++i) {
    const std::string level = fmt::format("levels.{}.", i);
    if (!tensors.contains(level + "pos_embed")) break;
    add_level(facts, shaped(tensors, level + "pos_embed", 4, origin));
    LevelFacts& last = facts.levels.back();
    const auto layer = [&](int j) { return fmt::format("{}transformer_encoder.{}.", level, j); };
    while (last.depth < kMostLayers && tensors.contains(layer(last.depth) + "norm1.weight"))
      ++last.depth;
    if (tensors.contains(layer(0) + "attn.kv.weight"))
      last.heads = static_cast<int>(
          last.width /
          std::max<int64_t>(1, shaped(tensors, layer(0) + "attn.kv.weight", 2, origin).dim(0) / 2));
  }
  const std::string first = "levels.0.transformer_encoder.0.";
  facts.multi_query = tensors.contains(first + "attn.kv.weight");
  facts.qkv_bias = tensors.contains(first + (facts.multi_query ? "attn.q.bias" : "attn.qkv.bias"));
  facts.hidden = shaped(tensors, first + "mlp.fc1.weight", 2, origin).dim(0);
  if (tensors.contains(first + "norm1.running_mean")) facts.norm = Norm::kBatch;
  return facts;
}

Facts flax_facts(const TensorMap& params, const std::string& origin) {
  Facts facts;
  const Tensor& patch = shaped(params, "PatchEmbedding_0/Conv_0/kernel", 4, origin);
  facts.token = patch.dim(0);
  facts.channels = patch.dim(2);
  facts.classes = shaped(params, "Dense_0/kernel", 2, origin).dim(1);
  const std::string first = "EncoderNDBlock_0/";
  facts.multi_query = params.contains(first + "MultiQueryAttention_0/proj_kernel");
  const std::string attention =
      facts.multi_query ? "MultiQueryAttention_0/" : "MultiHeadAttention_0/";
  if (params.contains(first + "BatchNorm_0/scale")) facts.norm = Norm::kBatch;
  if (params.contains(first + "GroupNorm_0/scale")) facts.norm = Norm::kGroup;
  facts.qkv_bias = params.contains(first + attention + "DenseGeneral_0/bias");
  facts.hidden = shaped(params, first + "MlpBlock_0/Dense_0/kernel", 2, origin).dim(1);
  for (int i = 0; i < kMostLevels; ++i) {
    const std::string name = fmt::format("PositionEmbedding_{}/pos_embedding", i);
    if (!params.contains(name)) break;
    add_level(facts, shaped(params, name, 4, origin));
  }
  for (int b = 0; b < kMostLayers; ++b) {
    const std::string name = fmt::format("EncoderNDBlock_{}/{}proj_kernel", b, attention);
    if (!params.contains(name)) break;
    const Tensor& projection = shaped(params, name, 3, origin);
    facts.layer_widths.push_back(projection.dim(2));
    for (LevelFacts& level : facts.levels)
      if (level.width == projection.dim(2)) level.heads = static_cast<int>(projection.dim(0));
  }
  return facts;
}

// The named variant with these widths; nothing when there is none.
const NestConfig* alike(const Facts& facts, const std::vector<NestConfig>& known) {
  for (const NestConfig& config : known) {
    const auto levels = geometry(config);
    if (levels.size() != facts.levels.size() ||
        (config.attn_type == Attention::kMultiQuery) != facts.multi_query)
      continue;
    if (std::equal(levels.begin(), levels.end(), facts.levels.begin(),
                   [](const Level& a, const LevelFacts& b) { return a.width == b.width; }))
      return &config;
  }
  return nullptr;
}

std::vector<NestConfig> candidates(const std::string& name) {
  std::vector<NestConfig> list;
  const auto& names = variant_names();
  if (std::find(names.begin(), names.end(), name) != names.end()) list.push_back(variant(name));
  for (const std::string& other : names) list.push_back(variant(other));
  return list;
}

void find_depths(Facts& facts, const NestConfig* like, std::vector<std::string>& assumed) {
  if (facts.layer_widths.empty()) return;  // the names said it
  std::map<int64_t, int> levels_of, layers_of;
  for (const LevelFacts& level : facts.levels) ++levels_of[level.width];
  for (int64_t width : facts.layer_widths) ++layers_of[width];
  const int total = static_cast<int>(facts.layer_widths.size());
  if (like && total_depth(*like) == total) {
    for (size_t i = 0; i < facts.levels.size(); ++i)
      facts.levels[i].depth = like->num_layers_per_block[i];
    return;
  }
  for (LevelFacts& level : facts.levels) {
    const int sharing = levels_of[level.width], layers = layers_of[level.width];
    if (layers % sharing == 0) level.depth = layers / sharing;  // else it stays unknown
  }
  for (const auto& [width, sharing] : levels_of)
    if (sharing > 1 && layers_of[width] % sharing == 0)
      assumed.push_back(fmt::format("the {} layers of {} channels are shared evenly by {} levels",
                                    layers_of[width], width, sharing));
}

void find_heads(Facts& facts, const NestConfig* like, std::vector<std::string>& assumed) {
  const auto unknown = [](const LevelFacts& level) { return level.heads == 0; };
  if (std::none_of(facts.levels.begin(), facts.levels.end(), unknown)) return;
  if (like) {
    const auto levels = geometry(*like);
    for (size_t i = 0; i < levels.size(); ++i) facts.levels[i].heads = levels[i].heads;
    return;
  }
  if (!std::all_of(facts.levels.begin(), facts.levels.end(),
                   [](const LevelFacts& level) { return level.width % kUsualHeadDim == 0; }))
    return;
  for (LevelFacts& level : facts.levels)
    level.heads = static_cast<int>(level.width / kUsualHeadDim);
  assumed.push_back(fmt::format("heads of {} channels, as in all named models", kUsualHeadDim));
}

bool given(const Hints& hints, std::initializer_list<std::string_view> keys) {
  return std::any_of(hints.overrides.begin(), hints.overrides.end(), [&](const auto& setting) {
    return std::find(keys.begin(), keys.end(), setting.first) != keys.end();
  });
}

// One factor for all levels, where the numbers follow one; lists where they do not.
void set_widths(NestConfig& config, const Facts& facts) {
  const LevelFacts& first = facts.levels[0];
  config.embedding_dim = static_cast<int>(first.width);
  config.num_heads = first.heads;
  config.embed_dims.clear();
  config.level_heads.clear();
  config.scale_hidden_dims.reset();
  const auto follows = [&](int64_t factor) {
    for (size_t i = 1; i < facts.levels.size(); ++i)
      if (facts.levels[i].width != facts.levels[i - 1].width * factor ||
          facts.levels[i].heads != facts.levels[i - 1].heads * factor)
        return false;
    return true;
  };
  if (follows(1)) return;
  const int64_t factor = facts.levels[1].width / std::max<int64_t>(1, first.width);
  if (factor > 1 && factor <= 16 && follows(factor)) {
    config.scale_hidden_dims = static_cast<int>(factor);
    return;
  }
  for (const LevelFacts& level : facts.levels) {
    config.embed_dims.push_back(static_cast<int>(level.width));
    config.level_heads.push_back(level.heads);
  }
}

void check_sizes(const Facts& facts, const std::string& origin) {
  if (facts.levels.empty()) no_nest(origin, "it has no position embeddings");
  for (int64_t number : {facts.token, facts.channels, facts.classes, facts.hidden})
    if (number < 1 || number > 1 << 20) no_nest(origin, fmt::format("an extent is {}", number));
  for (const LevelFacts& level : facts.levels)
    if (level.width < 1 || level.width > 1 << 16)
      no_nest(origin, fmt::format("a level has {} channels", level.width));
}

void name_it(NestConfig& config, const std::string& name) {
  for (const NestConfig& known : candidates(name)) {
    NestConfig same = known;
    same.num_classes = config.num_classes;
    same.in_channels = config.in_channels;
    same.image_size = config.image_size;
    same.patch_size = config.patch_size;
    same.stochastic_depth_drop = config.stochastic_depth_drop;
    config.variant = known.variant;
    if (same == config) {
      config.stochastic_depth_drop = known.stochastic_depth_drop;
      return;
    }
  }
  config.variant = name.empty() ? "nest" : name;
}

// Fails for fields that are still 0, which neither shapes nor the user gave.
void check_known(NestConfig& config, const std::string& origin) {
  const auto& depths = config.num_layers_per_block;
  if (std::find(depths.begin(), depths.end(), 0) != depths.end())
    throw Error(fmt::format("{}: which layers belong to which level cannot be seen", origin),
                "say it: --config.nest.num_layers_per_block=[2,2,8], or --variant NAME");
  const auto& heads = config.level_heads;
  if (heads.empty() ? config.num_heads == 0
                    : std::find(heads.begin(), heads.end(), 0) != heads.end())
    throw Error(fmt::format("{}: the number of heads cannot be seen in its tensors", origin),
                "say it, per level: --config.nest.level_heads=[3,6,12], or --variant NAME");
  if (!heads.empty()) config.num_heads = heads[0];
}

}  // namespace

Naming naming_of(const TensorMap& tensors, const std::string& origin) {
  if (tensors.contains("patch_embed.proj.weight")) return Naming::kTimm;
  if (tensors.contains("PatchEmbedding_0/Conv_0/kernel")) return Naming::kFlax;
  std::vector<std::string> names;
  for (const auto& [name, _] : tensors)
    if (names.size() < 3) names.push_back(name);
  no_nest(origin, tensors.empty() ? "it holds no tensors"
                                  : fmt::format("its {} tensors are called {}, ...", tensors.size(),
                                                fmt::join(names, ", ")));
}

Identified identify(const TensorMap& tensors, const Hints& hints, const std::string& origin) {
  const Naming naming = naming_of(tensors, origin);
  Facts facts = naming == Naming::kTimm ? timm_facts(tensors, origin) : flax_facts(tensors, origin);
  check_sizes(facts, origin);
  const std::vector<NestConfig> known = candidates(hints.variant);
  const NestConfig* like = alike(facts, known);
  Identified found;
  find_depths(facts, like, found.assumed);
  if (!given(hints, {"num_heads", "level_heads"})) find_heads(facts, like, found.assumed);

  NestConfig& config = found.config;
  const bool named = !known.empty() && known[0].variant == hints.variant;
  config.gelu = naming == Naming::kTimm ? Gelu::kErf : Gelu::kTanh;
  config.pool_padding = PoolPadding::kSame;
  if (named) {  // the name says what shapes do not
    config.gelu = known[0].gelu;
    config.pool_padding = known[0].pool_padding;
  } else if (naming == Naming::kTimm) {
    found.assumed.push_back(
        "GELU is erf and the max-pool pads as nest_*_jx (timm's published weights)");
  }
  config.stochastic_depth_drop = like ? like->stochastic_depth_drop : config.stochastic_depth_drop;
  config.in_channels = static_cast<int>(facts.channels);
  config.num_classes = static_cast<int>(facts.classes);
  config.init_patch_embed_size = static_cast<int>(facts.token);
  config.patch_size = root_of(facts.levels[0].tokens, "tokens of a block", origin);
  config.image_size = config.init_patch_embed_size * config.patch_size *
                      root_of(facts.levels[0].blocks, "blocks", origin);
  config.num_layers_per_block.clear();
  for (const LevelFacts& level : facts.levels) config.num_layers_per_block.push_back(level.depth);
  config.attn_type = facts.multi_query ? Attention::kMultiQuery : Attention::kMultiHead;
  config.qkv_bias = facts.qkv_bias;
  config.norm_type = facts.norm;
  config.mlp_ratio = static_cast<double>(facts.hidden) / static_cast<double>(facts.levels[0].width);
  set_widths(config, facts);
  name_it(config, hints.variant);
  Fields own = fields(config);
  for (const auto& [key, value] : hints.overrides) own.set(key, value);
  check_known(config, origin);
  geometry(config);
  return found;
}

}  // namespace nestvit

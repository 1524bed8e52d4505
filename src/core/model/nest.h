// What a NesT is: its configuration, the named variants, their geometry and the constants of its
// norms. Data only; the two forwards (src/train/network/nest.cpp and src/core/runtime) read it.
// Semantics: reference.md A; hyper-parameters: A.6.
//
// Shapes everywhere: B images, T blocks, N tokens per block, C channels, H heads, D = C/H.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"

namespace nestvit {

enum class Norm { kLayer, kBatch, kGroup };
enum class Attention { kMultiHead, kMultiQuery };
enum class Gelu { kTanh, kErf };
// Padding of the 3x3 stride-2 max-pool: SAME pads (0, 1) as the paper's code does, symmetric (1, 1)
// as timm's nest_*.
enum class PoolPadding { kSame, kSymmetric };

// Epsilon of layer and group norm.
inline constexpr double kNormEps = 1e-6;
// Flax's defaults.
inline constexpr int kGroupNormGroups = 32;
inline constexpr double kBatchNormEps = 1e-5;
// The share of a batch in new running statistics, as torch counts it: Flax's momentum 0.9.
inline constexpr double kBatchNormMomentum = 0.1;

// Field names are the official code's (`config.nest.*`), where it has them.
struct NestConfig {
  // The name it was made from; "architecture" in config.json.
  std::string variant = "nest_tiny_s16_32";
  int image_size = 32;
  int in_channels = 3;
  int num_classes = 10;
  int init_patch_embed_size = 1;  // edge of a token in pixels
  int patch_size = 4;             // edge of a block in tokens; N = patch_size^2
  // Encoder layers per level, image side first.
  std::vector<int> num_layers_per_block = {3, 3, 3, 3};
  int embedding_dim = 192;  // C of level 0
  int num_heads = 3;        // H of level 0
  // C and H grow by this factor per level; unset: they stay.
  std::optional<int> scale_hidden_dims;
  // C and H per level, where no factor gives them (timm); empty: by the factor.
  std::vector<int> embed_dims;
  std::vector<int> level_heads;
  Norm norm_type = Norm::kLayer;
  Attention attn_type = Attention::kMultiQuery;
  double mlp_ratio = 4;
  bool qkv_bias = true;
  double attn_drop = 0;
  double proj_drop = 0;
  // Drop-path rate of the last layer; it grows linearly from 0 at the first.
  double stochastic_depth_drop = 0.1;
  Gelu gelu = Gelu::kTanh;
  PoolPadding pool_padding = PoolPadding::kSame;

  bool operator==(const NestConfig&) const = default;
};

// The fields that `--config.nest.KEY=` and `nest:` in a recipe may set (variant, image size,
// channels and classes are set by their own flags).
Fields fields(NestConfig& config);

struct Level {
  int index;        // 0 at the image side
  int grid;         // blocks per side; T = grid^2
  int blocks;       // T
  int edge;         // tokens per side of a block
  int tokens;       // N
  int width;        // C
  int heads;        // H
  int head_dim;     // D
  int depth;        // encoder layers
  int first_layer;  // global number of the level's first encoder layer

  // Tokens per side of the whole plane.
  int map() const { return grid * edge; }
};

// The levels of a legal configuration. Throws UsageError that says which number must divide which
// and suggests a legal value (reference.md A.1).
std::vector<Level> geometry(const NestConfig& config);

int mlp_width(const NestConfig& config, int width);  // trunc(mlp_ratio * C)
int total_depth(const NestConfig& config);
double drop_path_rate(const NestConfig& config, int layer);  // linspace(0, rate, total)[layer]

// All names: the six official variants and timm's six.
const std::vector<std::string>& variant_names();
// Throws UsageError with the nearest name.
NestConfig variant(const std::string& name);
[[noreturn]] void unknown_model(const std::string& name, const std::vector<std::string>& known);

// Multiply-accumulates of one image: convolutions (borders counted in full), linear layers,
// attention products.
int64_t multiply_accumulates(const NestConfig& config);
// The same by part: the patch embedding, each level (its pooling and its layers), the head.
std::vector<int64_t> multiply_accumulates_by_part(const NestConfig& config);

}  // namespace nestvit

// The parameter table: every tensor of a network, once, as data. Both forwards, initialisation,
// import, export, counting, weight decay and layer decay read it. Names are timm's state_dict
// names; multi-query, BN and GN extend them. The baselines' table is in resnet.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/nest.h"

namespace nestvit {

// reference.md A.5; kLecunNormal (flax's default, H): truncated at 2 sigma, variance 1 / fan-in.
enum class Init { kTruncatedNormal, kLecunNormal, kZeros, kOnes };

// How the official (Flax) arrays become ours; reference.md B.4. H, D as in the layer.
enum class FlaxLayout {
  kSame,        // vectors and position embeddings
  kConv,        // [kh,kw,i,o] -> [o,i,kh,kw]
  kDense,       // [i,o] -> [o,i]
  kQuery,       // [C,H,D] -> [H*D,C], row h*D+d (multi-query's q)
  kQueryBias,   // [H,D] -> [H*D]
  kQkv,         // [C,H,D] and [C,H,2D] -> [3C,C]: q rows h*D+d, then k, then v
  kQkvBias,     // [H,D] and [H,2D] -> [3C]
  kProjection,  // [H,D,C] -> [C,C], column d*H+h (timm's order)
  kGroupNorm,   // [1,1,1,C] or [C] -> [C]
};

struct Param {
  std::string name;  // "levels.0.transformer_encoder.1.attn.qkv.weight"
  std::vector<int64_t> shape;
  Init init;
  int level;  // -1: patch embedding; number of levels: final norm and head
  // What timm's group_matcher counts it to: 0 the patch embedding; then the encoder layers, a
  // level's pooling and position embedding with its first, the final norm with the last; the head
  // above all.
  int layer;
  int heads;  // H where the layout needs it, else 0
  // Flax paths it comes from, one or two; buffers: below batch_stats.
  std::vector<std::string> flax;
  FlaxLayout layout;
  bool buffer = false;  // a running statistic: stored, not trained, not counted
  bool matrix = false;  // the weight of a linear or convolution: what quantisation may touch

  int64_t size() const;
};

// In timm's state_dict order. Throws as geometry() does.
std::vector<Param> parameter_table(const NestConfig& config);

// Trained parameters, as the papers count them (buffers left out).
int64_t parameter_count(const std::vector<Param>& table);
int64_t parameter_count(const NestConfig& config);
// The same by part: the patch embedding, each level, the final norm with the head.
std::vector<int64_t> parameters_by_part(const std::vector<Param>& table);

// Whether `name` is a tensor of the classifier: timm's NesT calls it head, its ResNet fc.
bool is_head(const std::string& name);
// Whether `name` is the kernel that reads the image's channels.
bool is_stem(const std::string& name);

// Whether weight decay touches `param`: its name and its Flax paths ("/A/B/c") contain none of
// `ignore` (config key optim_wd_ignore; reference.md F.2).
bool decayed(const Param& param, const std::vector<std::string>& ignore);

}  // namespace nestvit

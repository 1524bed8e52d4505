// Names and operations of the parts of a forward.
#include "runtime/measure/profile.h"

namespace nestvit {

std::string part_name(Part part) {
  switch (part) {
    case Part::kEmbed:
      return "patch embedding";
    case Part::kPlanes:
      return "blocks to plane";
    case Part::kConv:
      return "convolution";
    case Part::kPool:
      return "max-pool";
    case Part::kNorm:
      return "norms";
    case Part::kQkv:
      return "qkv";
    case Part::kAttention:
      return "attention";
    case Part::kProj:
      return "proj";
    case Part::kFc1:
      return "fc1";
    case Part::kGelu:
      return "gelu";
    case Part::kFc2:
      return "fc2";
    case Part::kHead:
      return "head";
  }
  return "";
}

int64_t multiply_accumulates(const NestConfig& config, const Level& level, Part part) {
  const std::vector<Level> levels = geometry(config);
  const int64_t C = level.width, plane = int64_t{level.map()} * level.map(),
                per_layer = level.depth * plane * C;
  const int64_t kv = config.attn_type == Attention::kMultiQuery ? level.head_dim : C;
  const bool is_first = level.index == 0, is_last = level.index + 1 == std::ssize(levels);
  switch (part) {
    case Part::kEmbed:
      return is_first ? plane * C * config.in_channels * config.init_patch_embed_size *
                            config.init_patch_embed_size
                      : 0;
    case Part::kConv: {  // before pooling, on the larger plane
      if (is_first) return 0;
      const Level& below = levels[level.index - 1];
      return int64_t{below.map()} * below.map() * 9 * below.width * C;
    }
    case Part::kQkv:
      return per_layer * (C + 2 * kv);
    case Part::kAttention:
      return per_layer * 2 * level.tokens;
    case Part::kProj:
      return per_layer * C;
    case Part::kFc1:
    case Part::kFc2:
      return per_layer * mlp_width(config, level.width);
    case Part::kHead:
      return is_last ? C * config.num_classes : 0;
    default:
      return 0;
  }
}

Profile::Profile(int levels, int threads)
    : levels_(levels),
      threads_(threads),
      seconds_(static_cast<size_t>(threads) * static_cast<size_t>(levels * kParts)) {}

double Profile::seconds(int level, Part part) const {
  double sum = 0;
  for (int thread = 0; thread < threads_; ++thread) sum += seconds_[index(thread, level, part)];
  return sum;
}

}  // namespace nestvit

// Small legal networks for tests of explanations.
#pragma once

#include <string>
#include <vector>

#include "model/nest.h"

namespace nestvit::testing {

// `levels` levels of one encoder layer; blocks of `edge` x `edge` tokens, a token is `token`
// pixels.
inline NestConfig small_nest(int levels, int edge, int token = 1, int width = 8) {
  NestConfig config = variant("nest_tiny_s16_32");
  config.num_layers_per_block.assign(static_cast<size_t>(levels), 1);
  config.patch_size = edge;
  config.init_patch_embed_size = token;
  config.image_size = token * edge << (levels - 1);
  config.embedding_dim = width;
  config.num_heads = 2;
  config.num_classes = 3;
  return config;
}

}  // namespace nestvit::testing

// A small NesT and images for it, for the runtime's tests.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "core/runtime/reference_forward.h"
#include "model/nest.h"

namespace nestvit::testing {

inline NestConfig small_config() {
  NestConfig config;
  config.variant = "small";
  config.image_size = 16;
  config.num_classes = 5;
  config.init_patch_embed_size = 2;
  config.patch_size = 2;
  config.num_layers_per_block = {1, 2, 1};
  config.embedding_dim = 32;
  config.num_heads = 2;
  config.mlp_ratio = 2;
  return config;
}

// [batch, channels, S, S]
inline std::vector<float> random_images(const NestConfig& config, int batch, uint64_t seed) {
  Rng rng(seed, Purpose::kTest, 1000);
  std::vector<float> images(size_t{1} * batch * config.in_channels * config.image_size *
                            config.image_size);
  for (float& value : images) value = rng.normal();
  return images;
}

}  // namespace nestvit::testing

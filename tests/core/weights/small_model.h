// A model of three levels for tests of the forms that weights come in.
#pragma once

#include "model/params.h"
#include "weights/model_dir.h"

namespace nestvit::testing {

inline LoadedModel small_model(Attention attention = Attention::kMultiHead,
                               Norm norm = Norm::kLayer) {
  LoadedModel model;
  NestConfig& config = model.config;
  config = variant("nest_tiny_s196_224");
  config.image_size = 16;
  config.init_patch_embed_size = 2;
  config.patch_size = 2;
  config.embedding_dim = 32;
  config.num_heads = 2;
  config.num_layers_per_block = {1, 2, 1};
  config.num_classes = 3;
  config.attn_type = attention;
  config.norm_type = norm;
  model.preprocessing = preprocessing_mode("jax", 16);
  model.labels = {"ant", "bee", "cat"};
  model.descriptions = {{"bee", "an insect"}};
  model.tensors = initial_tensors(config, 3);
  return model;
}

}  // namespace nestvit::testing

// A model that a test makes in no time: 8 x 8 pixels, two levels of one layer each.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/params.h"
#include "weights/model_dir.h"

namespace nestvit::testing {

// `labels` name its classes.
inline LoadedModel tiny_model(std::vector<std::string> labels = {"ant", "bee", "cat"}) {
  LoadedModel model;
  model.config = variant("nest_tiny_s16_32");
  model.config.image_size = 8;
  model.config.num_classes = static_cast<int>(labels.size());
  Fields settings = fields(model.config);
  settings.set("num_layers_per_block", "[1, 1]");
  settings.set("embedding_dim", "8");
  settings.set("num_heads", "2");
  model.preprocessing = preprocessing_mode("jax", 8);
  model.labels = std::move(labels);
  model.tensors = initial_tensors(model.config, 7);
  return model;
}

// The tiny model with these logits for every image: its head is all bias.
inline LoadedModel constant_model(const std::vector<float>& logits,
                                  std::vector<std::string> labels) {
  LoadedModel model = tiny_model(std::move(labels));
  const Tensor& weight = model.tensors.at("head.weight");
  model.tensors["head.weight"] = Tensor::f32(weight.shape(), std::vector<float>(weight.size(), 0));
  model.tensors["head.bias"] = Tensor::f32({std::ssize(logits)}, logits);
  return model;
}

}  // namespace nestvit::testing

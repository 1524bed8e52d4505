// A small network, its data and its weights, for tests of a learner.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "image/augment/mix.h"
#include "model/params.h"
#include "run/recipe/resolve.h"
#include "train/learner.h"
#include "weights/model_dir.h"

namespace nestvit::testing {

using namespace nestvit::train;

// Two levels with two layers each over 8 x 8 pixels.
inline Recipe tiny(int batch, const std::vector<std::pair<std::string, std::string>>& more = {}) {
  Settings settings;
  settings.values = {{"nest.patch_size", "4"},
                     {"nest.num_layers_per_block", "[2, 2]"},
                     {"nest.embedding_dim", "16"},
                     {"nest.num_heads", "2"},
                     {"nest.stochastic_depth_drop", "0"},
                     {"input_size", "8"},
                     {"num_classes", "4"},
                     {"per_device_batch_size", std::to_string(batch)}};
  settings.values.insert(settings.values.end(), more.begin(), more.end());
  Recipe recipe = apply(Recipe(), settings);
  resolve(recipe, {.kind = "idx", .train_size = 100, .num_classes = 4, .short_side = 8});
  return recipe;
}

inline Batch random_batch(int size, uint64_t number) {
  Rng rng(1, Purpose::kTest, number);
  Batch batch;
  batch.size = size;
  batch.channels = 3;
  batch.height = batch.width = 8;
  batch.images.resize(static_cast<size_t>(size) * 3 * 64);
  for (float& x : batch.images) x = rng.normal();
  for (int i = 0; i < size; ++i) batch.labels.push_back(static_cast<int>(rng.below(4)));
  return batch;
}

// Every value differs from 0, the head's too.
inline TensorMap random_weights(const Recipe& recipe) {
  TensorMap tensors = initial_tensors(recipe.nest, 3);
  Rng rng(3, Purpose::kTest);
  for (auto& [name, tensor] : tensors) {
    std::vector<float> values = tensor.to_f32();
    for (float& v : values) v += 0.05f * rng.normal();
    if (!name.ends_with("running_var")) tensor = Tensor::f32(tensor.shape(), values);
  }
  return tensors;
}

// Step `step` by the batches `parts`.
inline void learn(Learner& learner, const std::vector<Batch>& parts, int64_t step, double rate) {
  int64_t number = (step - 1) * static_cast<int64_t>(parts.size());
  for (const Batch& part : parts) learner.add(part, one_hot(part.labels, 4), ++number);
  learner.update(step, rate);
}

}  // namespace nestvit::testing

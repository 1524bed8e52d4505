// The recipe for data that came without one, by how many images there are and how large they are.
// docs/training.md gives the reasons; the numbers stand here only.
#include "run/recipe/default_recipe.h"

#include <algorithm>
#include <array>

namespace nestvit {
namespace {

constexpr std::array kSizes = {32, 64, 96, 128, 224};

// Few images cannot fill a large model or a large input: both grow with the data. The number of
// passes shrinks, so that the number of steps stays useful.
struct Tier {
  int64_t fewer_than;  // training images
  int size;            // input side, unless the images are smaller
  int batch;
  int epochs;
  std::vector<int> depths;  // layers per level
  int width, heads;         // of the first level; both double per level
};
const std::vector<Tier>& tiers() {
  static const std::vector<Tier> all = {
      {1'000, 64, 32, 150, {1, 1, 2}, 64, 2},       {5'000, 64, 64, 100, {1, 1, 2}, 64, 2},
      {20'000, 96, 64, 60, {1, 1, 4}, 64, 2},       {60'000, 128, 128, 40, {2, 2, 4}, 96, 3},
      {INT64_MAX, 224, 128, 100, {2, 2, 8}, 96, 3},
  };
  return all;
}

const Tier& tier_of(int64_t train_size) {
  return *std::find_if(tiers().begin(), tiers().end(),
                       [&](const Tier& tier) { return train_size < tier.fewer_than; });
}

// The next size above the images, at most `wanted`.
int choose_size(int wanted, int short_side) {
  for (const int size : kSizes)
    if (size >= short_side) return std::min(size, wanted);
  return wanted;
}

// Tokens of 4 pixels (2 when the image is small), three levels where they fit, and blocks that
// divide the rest. A side that fits none keeps the variant's blocks, and geometry() explains why.
void fit_blocks(NestConfig& nest, int size, std::vector<int> depths) {
  for (const int token : size < 48 ? std::array{2, 1, 4} : std::array{4, 2, 8})
    for (const size_t levels : {3, 2}) {
      const int unit = token << (levels - 1);
      const int block = size / unit;
      if (size % unit != 0 || block < 4 || block > 28) continue;
      nest.init_patch_embed_size = token;
      nest.patch_size = block;
      if (levels == 2) depths.erase(depths.begin());
      nest.num_layers_per_block = std::move(depths);
      return;
    }
}

}  // namespace

Recipe default_recipe(const DataFacts& facts, int input_size) {
  const Tier& tier = tier_of(facts.train_size);
  const bool photos = facts.kind == "image folder" || facts.kind == "csv";
  Recipe r;
  r.model_name = "nest_tiny_s196_224";
  r.nest = variant(r.model_name);
  r.input_size = input_size > 0 ? input_size : choose_size(tier.size, facts.short_side);
  fit_blocks(r.nest, r.input_size, tier.depths);
  r.nest.embedding_dim = tier.width;
  r.nest.num_heads = tier.heads;
  r.nest.stochastic_depth_drop = 0.1;
  r.per_device_batch_size =
      static_cast<int>(std::clamp<int64_t>(facts.train_size / 4, 1, tier.batch));
  r.num_epochs = tier.epochs;
  r.warmup_epochs = std::max(2, tier.epochs / 20);
  r.learning_rate = 2e-3;
  r.min_learning_rate = 2e-5;
  r.weight_decay = 0.05;
  r.grad_clip_max_norm = 1;
  r.mix.smoothing = 0.1;
  r.eval_per_epochs = 1;
  r.log_loss_every_steps = 50;
  r.preprocessing.mean = {.485, .456, .406};
  r.preprocessing.std = {.229, .224, .225};
  if (photos) {
    r.preprocessing.exif_orientation = true;
    r.preprocessing.background = {255, 255, 255};
  }
  return r;
}

}  // namespace nestvit

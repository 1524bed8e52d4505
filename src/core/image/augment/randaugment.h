// RandAugment (reference.md E.1): a few operations drawn from the list of randaugment_ops.h, one
// after the other.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "image/augment/randaugment_ops.h"

namespace nestvit {

// The official constructor's arguments and defaults ("randaugment_<name>" in recipes).
struct RandAugment {
  int num_layers = 2;
  // With magstd: each layer's level is N(magnitude, magstd) clipped to [0, num_levels], over
  // num_levels. Without it magnitude is the level itself. Without both the level is drawn from
  // 0, 1 .. num_levels over num_levels, or from [0, 1) when num_levels is 0.
  std::optional<double> magnitude;
  double magstd = 0;
  int num_levels = 10;
  std::optional<double> prob_to_apply;  // of each layer; unset: always
  bool cutout = true;
  int size = 224;  // of the images: the range of translations follows from it
};

// Throws UsageError for settings that make no sense, such as a magnitude of 9 without magstd: the
// official code takes it for a level of 9 and turns images by 270 degrees.
void check(const RandAugment& settings);
std::string describe(const RandAugment& settings);  // one line for people

// The numbers that decide one image's fate, as they are drawn.
struct RandAugmentDraws {
  struct Layer {
    float level = 0;  // N(magnitude, magstd), or what the other cases draw
    TfOp op = TfOp::kIdentity;
    float sign = 1;   // [0, 1): negative below 1/2
    float apply = 0;  // [0, 1): applied below prob_to_apply
  };
  std::vector<Layer> layers;
  float cutout_y = 0, cutout_x = 0;  // [0, height), [0, width)
};

RandAugmentDraws draw(const RandAugment& settings, int height, int width, Rng& rng);
Image rand_augment(Image image, const RandAugment& settings, const RandAugmentDraws& draws);
// Both at once.
Image rand_augment(Image image, const RandAugment& settings, Rng& rng);

}  // namespace nestvit

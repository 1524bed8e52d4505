// The reference's augmentation chain (reference.md D.7) around the basic training step: 8 bits,
// RandAugment, colour jitter before normalisation, random erasing after it. Mixing whole batches is
// mix.h.
//
//   Augmentation augmentation(settings, seed);
//   LoaderOptions options;
//   options.finish = [&](std::span<float> chw, int64_t index) {
//     augmentation.finish(chw, S, S, epoch_of(index), image_of(index));
//   };
//   Loader loader(data, order, [&](const Sample& sample, int64_t index) {
//     Rng rng(seed, Purpose::kTransform, epoch_of(index), image_of(index));
//     return augmentation.pixels(training_pixels(sample, preprocessing, transform, rng),
//                                epoch_of(index), image_of(index));
//   }, preprocessing, options);
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "image/augment/erase.h"
#include "image/augment/jitter.h"
#include "image/augment/randaugment.h"
#include "image/augment/timm_augment.h"
#include "image/image.h"

namespace nestvit {

// Unset: left out.
struct AugmentSettings {
  std::optional<RandAugment> randaugment;
  std::optional<TimmRandAugment> timm_randaugment;
  std::optional<ColorJitter> jitter;
  std::optional<RandomErasing> erasing;
};

class Augmentation {
 public:
  // Throws UsageError for settings that make no sense.
  Augmentation(AugmentSettings settings, uint64_t seed);

  bool changes_pixels() const {
    return settings_.randaugment || settings_.timm_randaugment || settings_.jitter;
  }
  bool erases() const { return settings_.erasing.has_value(); }

  // Both are pure functions of their arguments, the settings and the seed, for any thread.
  // Pixels in [0, 255] to whole numbers in [0, 255]. Without RandAugment and jitter they are
  // truncated to 8 bits when some other setting is there, as by the reference's wrapper, and
  // unchanged when there is none.
  Pixels pixels(Pixels basic, uint64_t epoch, uint64_t index) const;
  // Changes a normalised image [C, height, width] in place.
  void finish(std::span<float> chw, int height, int width, uint64_t epoch, uint64_t index) const;

  // The chain with its numbers, one line per step, in order; empty when nothing is set.
  std::vector<std::string> describe() const;

 private:
  AugmentSettings settings_;
  uint64_t seed_;
};

// Truncated to 8 bits, as the reference hands images to its augmentations.
Image to_bytes(const Pixels& pixels);

}  // namespace nestvit

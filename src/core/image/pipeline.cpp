// Applies the chain step by step, each with random numbers of its own purpose.
#include "image/pipeline.h"

#include "image/augment/randaugment_ops.h"
#include "image/per_isa.h"
#include "image/resize.h"

namespace nestvit {
namespace {

NESTVIT_PER_ISA
void truncate(const float* from, size_t count, uint8_t* to) {
  for (size_t i = 0; i < count; ++i) to[i] = saturate_u8(from[i]);
}

NESTVIT_PER_ISA
void widen(const uint8_t* from, size_t count, float* to) {
  for (size_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

}  // namespace

Augmentation::Augmentation(AugmentSettings settings, uint64_t seed)
    : settings_(std::move(settings)), seed_(seed) {
  if (settings_.randaugment) check(*settings_.randaugment);
  if (settings_.jitter) check(*settings_.jitter);
  if (settings_.erasing) check(*settings_.erasing);
}

Pixels Augmentation::pixels(Pixels basic, uint64_t epoch, uint64_t index) const {
  if (!changes_pixels() && !erases()) return basic;
  Image image = to_bytes(basic);
  if (settings_.randaugment) {
    Rng rng(seed_, Purpose::kRandAugment, epoch, index);
    image = rand_augment(std::move(image), *settings_.randaugment, rng);
  }
  if (settings_.timm_randaugment) {
    Rng rng(seed_, Purpose::kRandAugment, epoch, index);
    image = timm_rand_augment(std::move(image), *settings_.timm_randaugment, rng);
  }
  if (settings_.jitter) {
    Rng rng(seed_, Purpose::kJitter, epoch, index);
    image = color_jitter(image, *settings_.jitter, rng);
  }
  widen(image.pixels.data(), image.pixels.size(), basic.values.data());  // its buffer fits
  return basic;
}

void Augmentation::finish(std::span<float> chw, int height, int width, uint64_t epoch,
                          uint64_t index) const {
  if (!erases()) return;
  Rng rng(seed_, Purpose::kErase, epoch, index);
  random_erase(chw, height, width, *settings_.erasing, rng);
}

std::vector<std::string> Augmentation::describe() const {
  std::vector<std::string> lines;
  if (settings_.randaugment) lines.push_back(nestvit::describe(*settings_.randaugment));
  if (settings_.timm_randaugment) lines.push_back(nestvit::describe(*settings_.timm_randaugment));
  if (settings_.jitter) lines.push_back(nestvit::describe(*settings_.jitter));
  if (settings_.erasing && settings_.erasing->erase_prob > 0)
    lines.push_back(nestvit::describe(*settings_.erasing));
  return lines;
}

Image to_bytes(const Pixels& pixels) {
  Image image{pixels.height, pixels.width, pixels.channels,
              std::vector<uint8_t>(pixels.values.size())};
  truncate(pixels.values.data(), pixels.values.size(), image.pixels.data());
  return image;
}

}  // namespace nestvit

// Pixels without a pattern: the same for the same seed.
#pragma once

#include <cstdint>

#include "base/random.h"
#include "image/image.h"

namespace nestvit::testing {

inline Image random_image(int height, int width, int channels = 3, uint64_t seed = 1) {
  Rng rng(seed, Purpose::kTest);
  Image image{height, width, channels, {}};
  for (size_t i = 0; i < image.size(); ++i)
    image.pixels.push_back(static_cast<uint8_t>(rng.below(256)));
  return image;
}

}  // namespace nestvit::testing

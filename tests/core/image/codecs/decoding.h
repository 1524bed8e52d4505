// Decoding in tests, and how far two images are apart.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "image/codecs/codec.h"
#include "support/encoders.h"

namespace nestvit::testing {

inline Image decode(const Bytes& bytes, const DecodeOptions& options = {}) {
  return decode_image(bytes, options, "test");
}

inline int max_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  int most = 0;
  for (size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i)
    most = std::max(most, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  return most;
}

}  // namespace nestvit::testing

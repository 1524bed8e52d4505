// WebP: both kinds of compression, and alpha.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/image/codecs/decoding.h"
#include "image/codecs/codec.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::Bytes;
using testing::decode;
using testing::gradient;
using testing::make_webp;
using testing::max_difference;
using testing::with_alpha;

TEST(WebP, LosslessIsExactAndAlphaWorks) {
  const Image image = gradient(21, 34);
  std::vector<uint8_t> rgba = with_alpha(image);
  for (size_t i = 3; i < rgba.size(); i += 4)
    rgba[i] = std::max<uint8_t>(rgba[i], 1);  // 0 loses its colour
  const Bytes bytes = make_webp(21, 34, rgba, true);
  EXPECT_EQ(decode(bytes), image);
  DecodeOptions options;
  options.background = {0, 0, 0};
  const Image blended = decode(bytes, options);
  EXPECT_EQ(blended.pixels[0], image.pixels[0]);
  EXPECT_LE(blended.pixels[33 * 3 + 1], 1);
  EXPECT_LE(max_difference(decode(make_webp(21, 34, rgba, false)), image), 24);
}

}  // namespace
}  // namespace nestvit

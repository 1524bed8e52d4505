// The arithmetic of TensorFlow's ImageProjectiveTransform with a projection of 1, one row of source
// positions at a time.
#include "image/augment/geometric.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "base/check.h"

namespace nestvit {
namespace {

constexpr uint8_t kFill = 128;

// Half away from zero as std::round, in steps that vectorise; |x| < 2^31.
int32_t round_away(float x) {
  const int32_t whole = static_cast<int32_t>(x);
  const float rest = x - static_cast<float>(whole);
  return whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
}

// Far outside of any image, and safe to convert.
float bounded(float x) { return x < -1e9f ? -1e9f : x > 1e9f ? 1e9f : x; }

template <int kChannels>
void gather(const Image& image, const int32_t* from, uint8_t* to) {
  for (int x = 0; x < image.width; ++x, to += kChannels) {
    if (from[x] < 0)
      std::memset(to, kFill, kChannels);
    else
      std::memcpy(to, image.pixels.data() + static_cast<size_t>(from[x]) * kChannels, kChannels);
  }
}

}  // namespace

Affine rotation(float degrees, int height, int width) {
  const float angle = degrees * static_cast<float>(std::numbers::pi / 180);
  const float cosine = std::cos(angle), sine = std::sin(angle);
  const auto w = static_cast<float>(width - 1), h = static_cast<float>(height - 1);
  return {cosine, -sine,  (w - (cosine * w - sine * h)) / 2.0f,
          sine,   cosine, (h - (sine * w + cosine * h)) / 2.0f};
}

Image transformed(const Image& image, const Affine& affine) {
  const int height = image.height, width = image.width;
  NESTVIT_CHECK(image.channels == 1 || image.channels == 3);
  NESTVIT_CHECK(static_cast<int64_t>(height) * width <= INT32_MAX);
  Image result{height, width, image.channels, std::vector<uint8_t>(image.pixels.size())};
  const size_t stride = static_cast<size_t>(width) * image.channels;
  std::vector<int32_t> from(static_cast<size_t>(width));  // pixel number, or -1 outside
  for (int y = 0; y < height; ++y) {
    const float by = affine.b * static_cast<float>(y), ey = affine.e * static_cast<float>(y);
    for (int x = 0; x < width; ++x) {
      const auto fx = static_cast<float>(x);
      const int32_t sx = round_away(bounded(affine.a * fx + by + affine.c));
      const int32_t sy = round_away(bounded(affine.d * fx + ey + affine.f));
      const bool inside = (sx >= 0) & (sx < width) & (sy >= 0) & (sy < height);
      // Unsigned: the product of positions outside may wrap.
      const auto pixel = static_cast<int32_t>(
          static_cast<uint32_t>(sy) * static_cast<uint32_t>(width) + static_cast<uint32_t>(sx));
      from[x] = inside ? pixel : -1;
    }
    uint8_t* to = result.pixels.data() + y * stride;
    image.channels == 3 ? gather<3>(image, from.data(), to) : gather<1>(image, from.data(), to);
  }
  return result;
}

}  // namespace nestvit

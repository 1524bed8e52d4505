// Colour operations on planes of floats. Branches are written as selects, so that the loops
// vectorise; each select picks what TensorFlow's kernels compute.
#include "image/augment/jitter.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "image/augment/randaugment_ops.h"
#include "image/per_isa.h"
#include "image/resize.h"

namespace nestvit {
namespace {

constexpr float kFlipBelow = 0.5f, kJitterBelow = 0.8f, kGreyBelow = 0.2f;

float clip(float v) { return v < 0 ? 0.0f : v > 1 ? 1.0f : v; }

struct Planes {
  float *r, *g, *b;
  size_t count;
};

Planes planes_of(std::span<float> values) {
  NESTVIT_CHECK(values.size() % 3 == 0);
  const size_t count = values.size() / 3;
  return {values.data(), values.data() + count, values.data() + 2 * count, count};
}

struct Range {
  double low, high;
  float draw(Rng& rng) const {
    return static_cast<float>(low + (high - low) * static_cast<double>(rng.uniform()));
  }
};

Range factors(const ColorJitter& s) {
  return {std::max(1 - 0.8 * s.strength, 0.0), 1 + 0.8 * s.strength};
}

Range hues(const ColorJitter& s) { return {-0.2 * s.strength, 0.2 * s.strength}; }

NESTVIT_PER_ISA
void to_unit(const uint8_t* from, size_t count, size_t step, float* to) {
  for (size_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i * step]) * (1.0f / 255);
}

// [C, H*W] in [0, 1], mirrored when asked.
std::vector<float> unit_planes(const Image& image, bool mirrored) {
  const auto channels = static_cast<size_t>(image.channels);
  const auto width = static_cast<size_t>(image.width), height = static_cast<size_t>(image.height);
  std::vector<float> planes(image.pixels.size());
  for (size_t c = 0; c < channels; ++c)
    for (size_t y = 0; y < height; ++y) {
      const uint8_t* from = image.pixels.data() + y * width * channels + c;
      float* to = planes.data() + (c * height + y) * width;
      to_unit(from, width, channels, to);
      if (mirrored) std::reverse(to, to + width);
    }
  return planes;
}

uint8_t byte_of(float unit) { return static_cast<uint8_t>(static_cast<int>(clip(unit) * 255.0f)); }

NESTVIT_PER_ISA
void to_bytes(const float* from, size_t count, size_t step, uint8_t* to) {
  for (size_t i = 0; i < count; ++i) to[i * step] = byte_of(from[i]);
}

Image bytes_of(const std::vector<float>& planes, const Image& shape) {
  const auto channels = static_cast<size_t>(shape.channels);
  const size_t count = planes.size() / channels;
  Image image{shape.height, shape.width, shape.channels, std::vector<uint8_t>(planes.size())};
  for (size_t c = 0; c < channels; ++c)
    to_bytes(planes.data() + c * count, count, channels, image.pixels.data() + c);
  return image;
}

// Converts to floats and back without a change, which lowers some values by a level.
Image round_trip(const Image& image, bool mirrored) {
  static const auto table = [] {
    std::array<uint8_t, 256> t{};
    for (int v = 0; v < 256; ++v) t[v] = byte_of(static_cast<float>(v) * (1.0f / 255));
    return t;
  }();
  Image result = mirrored ? flip_horizontal(image) : image;
  for (uint8_t& v : result.pixels) v = table[v];
  return result;
}

void four_operations(std::vector<float>& planes, int channels, const JitterDraws& draws) {
  for (int operation : draws.order) {
    NESTVIT_CHECK(operation >= 0 && operation < 4);
    if (operation == 0) jitter_brightness(planes, draws.brightness);
    if (operation == 1) jitter_contrast(planes, channels, draws.contrast);
    if (operation == 2 && channels == 3) jitter_saturation(planes, draws.saturation);
    if (operation == 3 && channels == 3) jitter_hue(planes, draws.hue);
  }
}

}  // namespace

void check(const ColorJitter& s) {
  if (!(s.strength >= 0 && s.strength <= 1.25))
    throw UsageError(fmt::format("the strength of the colour jitter is {}", s.strength),
                     "give 0 to 1.25: above, factors could be negative");
}

std::string describe(const ColorJitter& s) {
  const Range f = factors(s);
  return fmt::format(
      "colour jitter of strength {}: with probability {:.1f} brightness, contrast and saturation "
      "by {:.3g} to {:.3g} and hue by up to {:.3g} turns in random order; grey with probability "
      "{:.1f}; flip",
      s.strength, kJitterBelow, f.low, f.high, hues(s).high, kGreyBelow);
}

JitterDraws draw(const ColorJitter& settings, Rng& rng) {
  JitterDraws draws;
  draws.flip = rng.uniform();
  draws.jitter = rng.uniform();
  for (size_t i = 3; i > 0; --i) std::swap(draws.order[i], draws.order[rng.below(i + 1)]);
  draws.brightness = factors(settings).draw(rng);
  draws.contrast = factors(settings).draw(rng);
  draws.saturation = factors(settings).draw(rng);
  draws.hue = hues(settings).draw(rng);
  draws.grey = rng.uniform();
  return draws;
}

Image color_jitter(const Image& image, const ColorJitter& settings, const JitterDraws& draws) {
  NESTVIT_CHECK(image.channels == 1 || image.channels == 3);
  const bool mirrored = draws.flip < kFlipBelow;
  const bool jitters = draws.jitter < kJitterBelow && settings.strength > 0;  // 0 skips operations
  const bool greys = draws.grey < kGreyBelow && image.channels == 3;
  if (!jitters && !greys) return round_trip(image, mirrored);
  std::vector<float> planes = unit_planes(image, mirrored);
  if (jitters) four_operations(planes, image.channels, draws);
  if (greys) jitter_grey(planes);
  return bytes_of(planes, image);
}

Image color_jitter(const Image& image, const ColorJitter& settings, Rng& rng) {
  return color_jitter(image, settings, draw(settings, rng));
}

NESTVIT_PER_ISA
void jitter_brightness(std::span<float> planes, float factor) {
  for (float& v : planes) v = clip(v * factor);
}

NESTVIT_PER_ISA
void jitter_contrast(std::span<float> planes, int channels, float factor) {
  const size_t count = planes.size() / channels;
  for (int c = 0; c < channels; ++c) {
    const auto plane = planes.subspan(c * count, count);
    std::array<double, 4> sums{};  // several, so that additions need not wait for each other
    for (size_t i = 0; i < count; ++i) sums[i % 4] += static_cast<double>(plane[i]);
    const auto mean =
        static_cast<float>((sums[0] + sums[1] + sums[2] + sums[3]) / static_cast<double>(count));
    for (float& v : plane) v = clip((v - mean) * factor + mean);
  }
}

NESTVIT_PER_ISA
void jitter_saturation(std::span<float> planes, float factor) {
  const auto [red, green, blue, count] = planes_of(planes);
  for (size_t i = 0; i < count; ++i) {
    const float r = red[i], g = green[i], b = blue[i];
    const float value = std::max(r, std::max(g, b));
    const float range = value - std::min(r, std::min(g, b));
    // A grey pixel rises by 0 from red: hue 0.
    const float norm = 1.0f / (6.0f * (range > 0 ? range : 1.0f));
    const float rise = r == value ? g - b : g == value ? b - r : r - g;
    const float base = r == value ? 0.0f : g == value ? 1.0f / 3.0f : 2.0f / 3.0f;
    float hue = norm * rise + base;
    hue = hue < 0 ? hue + 1 : hue;
    const float saturation = clip(range / (value > 0 ? value : 1.0f) * factor);
    const float chroma = saturation * value, least = value - chroma;
    const float sixths = hue * 6.0f;
    const auto sector = static_cast<float>(static_cast<int>(sixths));
    const auto pair = static_cast<float>(static_cast<int>(sixths * 0.5f));
    const float middle = chroma * (1 - std::abs(sixths - 2 * pair - 1)) + least;
    const float most = chroma + least;
    // Sector 6 is a hue that rounding made a whole turn: red, as sector 0. (TensorFlow makes such a
    // pixel grey.)
    const float inner = ((sector >= 2) & (sector < 4)) ? least : middle;
    red[i] = clip(((sector < 1) | (sector >= 5)) ? most : inner);
    green[i] = clip(((sector >= 1) & (sector < 3)) ? most : sector < 4 ? middle : least);
    blue[i] = clip(((sector >= 3) & (sector < 5))   ? most
                   : ((sector < 2) | (sector >= 6)) ? least
                                                    : middle);
  }
}

NESTVIT_PER_ISA
void jitter_hue(std::span<float> planes, float turns) {
  const auto [red, green, blue, count] = planes_of(planes);
  const float shift = turns * 6.0f;
  NESTVIT_CHECK(std::abs(shift) <= 6);
  for (size_t i = 0; i < count; ++i) {
    const float r = red[i], g = green[i], b = blue[i];
    const float most = std::max(r, std::max(g, b)), least = std::min(r, std::min(g, b));
    const float middle = std::max(std::min(r, g), std::min(std::max(r, g), b));
    const float sector = r < g ? (b < r   ? 1.0f
                                  : b > g ? 3.0f
                                          : 2.0f)
                               : (b < g   ? 0.0f
                                  : b > r ? 4.0f
                                          : 5.0f);
    const float rise = (middle - least) / (most - least);
    const bool rises = sector == 0 || sector == 2 || sector == 4;
    float hue = sector + (rises ? rise : 1 - rise);
    hue = (most == least ? 0.0f : hue) + shift;
    hue = hue < 0 ? hue + 6 : hue;
    hue = hue >= 6 ? hue - 6 : hue;
    hue = hue >= 6 ? hue - 6 : hue;  // a tiny negative hue may round to 6
    const auto turned = static_cast<float>(static_cast<int>(hue));
    const float ratio = hue - turned;
    const bool up = turned == 0 || turned == 2 || turned == 4;
    const float between = least + (up ? ratio : 1 - ratio) * (most - least);
    red[i] = clip(turned < 1 || turned >= 5 ? most : turned < 2 || turned >= 4 ? between : least);
    green[i] = clip(turned >= 1 && turned < 3 ? most : turned < 4 ? between : least);
    blue[i] = clip(turned >= 3 && turned < 5 ? most : turned >= 2 ? between : least);
  }
}

NESTVIT_PER_ISA
void jitter_grey(std::span<float> planes) {
  const auto [red, green, blue, count] = planes_of(planes);
  for (size_t i = 0; i < count; ++i)
    red[i] = green[i] = blue[i] =
        red[i] * kGreyWeights[0] + green[i] * kGreyWeights[1] + blue[i] * kGreyWeights[2];
}

}  // namespace nestvit

// Pillow's arithmetic: tables in double, blends in float truncated, transforms in double truncated.
#include "image/augment/pillow.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/check.h"
#include "image/augment/lookup.h"
#include "image/per_isa.h"

namespace nestvit {
namespace {

// ImagingBlend: from `from` (factor 0) to `to` (factor 1) and beyond.
uint8_t blend(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
}

// RGB to L, 16-bit fixed point.
int luma(const uint8_t* p) { return (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16; }

Table contrast_table(const Histogram& histogram) {
  int low = 0, high = 255;
  while (low < 255 && histogram[low] == 0) ++low;
  while (high > 0 && histogram[high] == 0) --high;
  if (high <= low) return table_of([](int v) { return static_cast<uint8_t>(v); });
  const double scale = 255.0 / (high - low), offset = -low * scale;
  return table_of([&](int v) {
    return static_cast<uint8_t>(std::clamp(static_cast<int>(v * scale + offset), 0, 255));
  });
}

// Four taps of a cubic through v[1] (d = 0) and v[2] (d = 1).
double cubic(const double v[4], double d) {
  const double p1 = v[1], p2 = -v[0] + v[2], p3 = 2 * (v[0] - v[1]) + v[2] - v[3],
               p4 = -v[0] + v[1] - v[2] + v[3];
  return p1 + d * (p2 + d * (p3 + d * p4));
}

double linear(const double v[2], double d) { return v[0] + (v[1] - v[0]) * d; }

// The same for three channels side by side and an unused one.
using Lanes = double __attribute__((vector_size(32)));

// Results go to `to`: returning them would need registers that not every processor has.
[[gnu::always_inline]] inline void cubic(const Lanes v[4], double d, Lanes& to) {
  const Lanes p1 = v[1], p2 = -v[0] + v[2], p3 = 2.0 * (v[0] - v[1]) + v[2] - v[3],
              p4 = -v[0] + v[1] - v[2] + v[3];
  to = p1 + d * (p2 + d * (p3 + d * p4));
}

[[gnu::always_inline]] inline void linear(const Lanes v[2], double d, Lanes& to) {
  to = v[0] + (v[1] - v[0]) * d;
}

[[gnu::always_inline]] inline void read_pixel(const uint8_t* at, Lanes& to) {
  using Words = uint32_t __attribute__((vector_size(16)));
  using Wide = int32_t __attribute__((vector_size(16)));
  uint32_t word;
  std::memcpy(&word, at, sizeof word);
  const Words shifted = Words{word, word, word, word} >> Words{0, 8, 16, 24};
  to = __builtin_convertvector(reinterpret_cast<Wide>(shifted & 255), Lanes);
}

// The position in the input of an output pixel.
struct Place {
  int x, y;       // of the first tap
  double dx, dy;  // in [0, 1)
};

// interpolate() of three channels where all taps and the byte after the last one lie inside.
template <int kTaps>
[[gnu::always_inline]] inline void interpolate_inside(const uint8_t* pixels, size_t stride,
                                                      const Place& place, uint8_t* to) {
  const uint8_t* row =
      pixels + static_cast<size_t>(place.y) * stride + static_cast<size_t>(place.x) * 3;
  Lanes values[kTaps], value;
  for (int i = 0; i < kTaps; ++i, row += stride) {
    Lanes taps[kTaps];
    for (int j = 0; j < kTaps; ++j) read_pixel(row + 3 * j, taps[j]);
    if constexpr (kTaps == 4)
      cubic(taps, place.dx, values[i]);
    else
      linear(taps, place.dx, values[i]);
  }
  if constexpr (kTaps == 4)
    cubic(values, place.dy, value);
  else
    linear(values, place.dy, value);
  for (int c = 0; c < 3; ++c) to[c] = static_cast<uint8_t>(std::clamp(value[c], 0.0, 255.0));
}

// The pixel at (x, y) plus (dx, dy) in [0, 1), of kTaps x kTaps pixels from (x, y) on. Columns
// outside are those at the edge; a row outside repeats the one before, the first is the edge's.
template <int kTaps, class F>
void interpolate(const Image& image, int x, int y, double dx, double dy, F polynomial,
                 uint8_t* to) {
  const auto channels = static_cast<size_t>(image.channels);
  const uint8_t* rows[kTaps];
  size_t columns[kTaps];
  for (int i = 0; i < kTaps; ++i) {
    columns[i] = std::clamp(x + i, 0, image.width - 1) * channels;
    const bool inside = y + i >= 0 && y + i < image.height;
    const auto row = static_cast<size_t>(std::clamp(y + i, 0, image.height - 1));
    rows[i] = inside || i == 0 ? &image.pixels[row * image.width * channels] : rows[i - 1];
  }
  for (size_t c = 0; c < channels; ++c) {
    double values[kTaps];
    for (int i = 0; i < kTaps; ++i) {
      double taps[kTaps];
      for (int j = 0; j < kTaps; ++j) taps[j] = rows[i][columns[j] + c];
      values[i] = polynomial(taps, dx);
    }
    to[c] = static_cast<uint8_t>(std::clamp(polynomial(values, dy), 0.0, 255.0));
  }
}

}  // namespace

Image pillow_auto_contrast(Image image) {
  by_histogram(image, contrast_table);
  return image;
}

Image pillow_posterize(Image image, int bits) {
  const int mask = bits >= 8 ? 255 : 256 - (1 << (8 - bits));
  look_up(image, table_of([&](int v) { return static_cast<uint8_t>(v & mask); }));
  return image;
}

Image pillow_solarize(Image image, int threshold) {
  look_up(image,
          table_of([&](int v) { return static_cast<uint8_t>(v < threshold ? v : 255 - v); }));
  return image;
}

Image pillow_color(Image image, double factor) {
  if (image.channels == 1) return image;
  const auto f = static_cast<float>(factor);
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    uint8_t* p = &image.pixels[i];
    const int grey = luma(p);
    for (int c = 0; c < 3; ++c) p[c] = blend(grey, p[c], f);
  }
  return image;
}

Image pillow_contrast(Image image, double factor) {
  int64_t sum = 0;
  const auto channels = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < image.pixels.size(); i += channels)
    sum += channels == 1 ? image.pixels[i] : luma(&image.pixels[i]);
  const size_t count = image.pixels.size() / channels;
  const int mean = static_cast<int>(static_cast<double>(sum) / static_cast<double>(count) + 0.5);
  look_up(image, table_of([&](int v) { return blend(mean, v, static_cast<float>(factor)); }));
  return image;
}

Image pillow_brightness(Image image, double factor) {
  look_up(image, table_of([&](int v) { return blend(0, v, static_cast<float>(factor)); }));
  return image;
}

// The smooth image is ImageFilter.SMOOTH, rounded; its border is the image's, which no blend
// changes.
Image pillow_sharpness(Image image, double factor) {
  if (image.height < 3 || image.width < 3) return image;
  constexpr int kCentre = 5, kSum = 13;  // the other eight weights are 1
  const Image before = image;
  const auto channels = static_cast<size_t>(image.channels);
  const size_t stride = image.width * channels;
  for (size_t y = 1; y + 1 < static_cast<size_t>(image.height); ++y)
    for (size_t i = channels; i < stride - channels; ++i) {
      const uint8_t* p = &before.pixels[y * stride + i];
      int sum = (kCentre - 1) * *p;
      for (const uint8_t* row : {p - stride, p, p + stride})
        sum += row[0] + *(row - channels) + row[channels];
      const int smooth = (2 * sum + kSum) / (2 * kSum);  // no sum lies half between two values
      image.pixels[y * stride + i] = blend(smooth, *p, static_cast<float>(factor));
    }
  return image;
}

namespace {

NESTVIT_PER_ISA
void affine(const Image& image, const std::array<double, 6>& m, const PillowTransform& how,
            uint8_t* to) {
  const bool cubic_taps = how.interpolation == Interpolation::kBicubic;
  const int taps = cubic_taps ? 4 : 2, before = cubic_taps ? 1 : 0;
  const size_t stride = static_cast<size_t>(image.width) * 3;
  for (int row = 0; row < image.height; ++row)
    for (int column = 0; column < image.width; ++column, to += image.channels) {
      const double x = column + 0.5, y = row + 0.5;
      double sx = m[0] * x + m[1] * y + m[2], sy = m[3] * x + m[4] * y + m[5];
      if (!(sx >= 0 && sx < image.width && sy >= 0 && sy < image.height)) {
        std::copy(how.fill.begin(), how.fill.end(), to);
        continue;
      }
      sx -= 0.5;
      sy -= 0.5;
      const int left = static_cast<int>(std::floor(sx)), top = static_cast<int>(std::floor(sy));
      const double dx = sx - left, dy = sy - top;
      const Place place{left - before, top - before, dx, dy};
      // The very last pixel has no byte after it.
      if (image.channels == 3 && place.x >= 0 && place.y >= 0 && place.x + taps < image.width &&
          place.y + taps <= image.height) {
        if (cubic_taps)
          interpolate_inside<4>(image.pixels.data(), stride, place, to);
        else
          interpolate_inside<2>(image.pixels.data(), stride, place, to);
      } else if (cubic_taps)
        interpolate<4>(
            image, left - 1, top - 1, dx, dy, [](const double* v, double d) { return cubic(v, d); },
            to);
      else
        interpolate<2>(
            image, left, top, dx, dy, [](const double* v, double d) { return linear(v, d); }, to);
    }
}

}  // namespace

Image pillow_affine(const Image& image, const std::array<double, 6>& m,
                    const PillowTransform& how) {
  NESTVIT_CHECK(how.fill.size() == static_cast<size_t>(image.channels));
  Image result{image.height, image.width, image.channels,
               std::vector<uint8_t>(image.pixels.size())};
  affine(image, m, how, result.pixels.data());
  return result;
}

Image pillow_rotate(Image image, double degrees, const PillowTransform& how) {
  double turn = std::fmod(degrees, 360);
  if (turn < 0) turn += 360;
  if (turn == 0) return image;
  const double angle = -(turn * (std::numbers::pi / 180));
  const auto rounded = [](double v) { return std::nearbyint(v * 1e15) / 1e15; };
  const double cosine = rounded(std::cos(angle)), sine = rounded(std::sin(angle));
  const double cx = image.width / 2.0, cy = image.height / 2.0;
  return pillow_affine(image,
                       {cosine, sine, cosine * -cx + sine * -cy + cx, -sine, cosine,
                        -sine * -cx + cosine * -cy + cy},
                       how);
}

}  // namespace nestvit

// The official colour jitter (SimCLR v2's, reference.md E.2), with TensorFlow's hexagonal HSV.
#pragma once

#include <array>
#include <span>
#include <string>

#include "base/random.h"
#include "image/image.h"

namespace nestvit {

struct ColorJitter {
  double strength = 0.3;  // factors are drawn within 1 +- 0.8 of it, the hue within +- 0.2 of it
};

void check(const ColorJitter& settings);  // UsageError unless 0 <= strength <= 1.25
std::string describe(const ColorJitter& settings);

// As they are drawn; each in [0, 1) unless said otherwise.
struct JitterDraws {
  float flip = 1;                           // mirrored below 0.5
  float jitter = 0;                         // the four operations below 0.8
  std::array<int, 4> order = {0, 1, 2, 3};  // 0 brightness, 1 contrast, 2 saturation, 3 hue
  float brightness = 1, contrast = 1, saturation = 1;  // factors
  float hue = 0;                                       // turns
  float grey = 1;                                      // grey below 0.2
};

JitterDraws draw(const ColorJitter& settings, Rng& rng);
// Images of one channel know no saturation and no hue.
Image color_jitter(const Image& image, const ColorJitter& settings, const JitterDraws& draws);
Image color_jitter(const Image& image, const ColorJitter& settings, Rng& rng);

// The operations on planes [C, H*W] in [0, 1]; results are clipped to [0, 1]. The last three need
// three planes.
void jitter_brightness(std::span<float> planes, float factor);
void jitter_contrast(std::span<float> planes, int channels, float factor);
void jitter_saturation(std::span<float> planes, float factor);
void jitter_hue(std::span<float> planes, float turns);
void jitter_grey(std::span<float> planes);

}  // namespace nestvit

// The two resizes that NesT's weights were evaluated with. Bit-exact to Pillow, and to TensorFlow
// within 1e-6.
#pragma once

#include <cstdint>

#include "image/image.h"
#include "model/preprocessing.h"

namespace nestvit {

// Part of a resized image: `window` of the height x width that the whole would have. Only the part
// is computed, so neither time nor memory grow with the whole (which for a 1 x 100,000 image would
// be huge).
struct ResizeTarget {
  int64_t height = 0;
  int64_t width = 0;
  Box window;
};

// Image.resize of Pillow 13 (antialias, 22-bit fixed point, tall images vertically first), on 8
// bits.
Image resize_pil(const Image& image, int height, int width, Interpolation interpolation);
Image resize_pil(const Image& image, const ResizeTarget& target, Interpolation interpolation);

// TensorFlow's bilinear resize, half-pixel centres, no antialias; reference.md D.3. Identity when
// sizes match.
Pixels resize_tf(const Pixels& image, int height, int width);
// The same as the reference calls it: on value/255. The result is scaled back to [0, 255].
Pixels resize_tf(const Image& image, const ResizeTarget& target);

Pixels to_pixels(const Image& image);
Pixels crop(const Pixels& image, const Box& box);
Image crop(const Image& image, const Box& box);
Image flip_horizontal(const Image& image);
Pixels flip_horizontal(const Pixels& image);

}  // namespace nestvit

// The two resizes that NesT's weights were evaluated with. Bit-exact to Pillow, and to TensorFlow within 1e-6.
#pragma once

#include "image/image.h"
#include "model/preprocessing.h"

namespace nestvit {

// Pillow's Image.resize (antialias, 22-bit fixed point, horizontal first), on 8 bits.
Image resize_pil(const Image& image, int height, int width, Interpolation interpolation);

// TensorFlow's bilinear resize, half-pixel centres, no antialias; reference.md D.3. Identity when sizes match.
Pixels resize_tf(const Pixels& image, int height, int width);

Pixels to_pixels(const Image& image);
Pixels crop(const Pixels& image, const Box& box);
Image crop(const Image& image, const Box& box);
Image flip_horizontal(const Image& image);
Pixels flip_horizontal(const Pixels& image);

}  // namespace nestvit

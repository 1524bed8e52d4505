// Affine maps of 8-bit images as tensorflow_addons' transform does them: nearest neighbour, 128
// outside.
#pragma once

#include "image/image.h"

namespace nestvit {

// Output (x, y) reads input (a*x + b*y + c, d*x + e*y + f), in float32.
struct Affine {
  float a = 1, b = 0, c = 0;
  float d = 0, e = 1, f = 0;
};

Affine rotation(float degrees, int height, int width);  // about the centre
Image transformed(const Image& image, const Affine& affine);

}  // namespace nestvit

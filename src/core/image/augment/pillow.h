// Operations of Pillow 13 on 8-bit images (ImageOps, ImageEnhance, Image.transform), to the bit,
// where they differ from TensorFlow's in randaugment_ops.h. 1 or 3 channels, any size.
#pragma once

#include <array>
#include <vector>

#include "image/image.h"
#include "model/preprocessing.h"

namespace nestvit {

Image pillow_auto_contrast(Image image);
Image pillow_posterize(Image image, int bits);      // 0 leaves nothing
Image pillow_solarize(Image image, int threshold);  // 256 changes nothing
// ImageEnhance: factor 0 is grey, flat, black or smooth; 1 the image itself.
Image pillow_color(Image image, double factor);
Image pillow_contrast(Image image, double factor);
Image pillow_brightness(Image image, double factor);
Image pillow_sharpness(Image image, double factor);

// How values between pixels and outside of the image are made.
struct PillowTransform {
  Interpolation interpolation = Interpolation::kBicubic;
  std::vector<uint8_t> fill;  // per channel
};
// Output (x, y) reads input (m0 x + m1 y + m2, m3 x + m4 y + m5); positions are those of centres.
Image pillow_affine(const Image& image, const std::array<double, 6>& m, const PillowTransform& how);
// Counter-clockwise about the centre.
Image pillow_rotate(Image image, double degrees, const PillowTransform& how);

}  // namespace nestvit

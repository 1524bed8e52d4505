// RandAugment's operations on 8-bit images, bit-exact to the official code in TensorFlow 2.5
// (reference.md E.1): by name and level, or by argument.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "image/image.h"

namespace nestvit {

// The reference's list, in its order: operation i is drawn as number i.
enum class TfOp {
  kAutoContrast,
  kEqualize,
  kRotate,
  kPosterize,
  kSolarize,
  kColor,
  kContrast,
  kBrightness,
  kSharpness,
  kShearX,
  kShearY,
  kTranslateX,
  kTranslateY,
  kIdentity,
  kSolarizeAdd,
  kInvert,
};

std::span<const TfOp> tf_ops();
const std::vector<std::string>& tf_op_names();  // "AutoContrast", ... in the same order
const std::string& tf_op_name(TfOp op);
// Any case. Throws UsageError that names the nearest.
TfOp parse_tf_op(const std::string& name);
bool takes_sign(TfOp op);   // rotations, shears, translations
bool takes_level(TfOp op);  // all but AutoContrast, Equalize, Identity, Invert

struct TfOpSettings {
  int translate_const = 100;  // pixels of a translation at level 1
};
// The reference's table by image size: 224 -> 100, 128 -> 40, 96 -> 30, 32 -> 10, else 30 %.
TfOpSettings tf_op_settings(int size);

// The argument of the operation at a level: degrees, bits, threshold, blend factor, shear or
// pixels; 0 for operations without one. `level` in [0, 1], UsageError otherwise; `negative` counts
// where takes_sign().
float tf_argument(TfOp op, float level, bool negative, const TfOpSettings& settings);

// 1 or 3 channels, any size. Moving the image in avoids a copy.
Image apply_tf_op(Image image, TfOp op, float level, bool negative, const TfOpSettings& settings);
Image apply_tf_argument(Image image, TfOp op, float argument);

// A square of 128, half as tall and wide as the image, about (cy, cx), clipped. The centre is drawn
// uniformly from [0, height) and [0, width).
Image cutout(Image image, float cy, float cx);

// Clamped to [0, 255] and truncated, never rounded: TensorFlow's saturate_cast.
inline uint8_t saturate_u8(float v) {
  return static_cast<uint8_t>(v < 0 ? 0.0f : v > 255 ? 255.0f : v);
}

// TensorFlow's rgb_to_grayscale weights; they add up to 0.9999.
inline constexpr float kGreyWeights[3] = {0.2989f, 0.5870f, 0.1140f};

}  // namespace nestvit

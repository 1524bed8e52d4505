// timm's RandAugment ("rand-m9-mstd0.5-inc1"): its operations on Pillow's arithmetic, its levels
// out of 10, its string. The official code's is randaugment.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "image/augment/pillow.h"

namespace nestvit {

// timm's list, in its order.
enum class TimmOp {
  kAutoContrast,
  kEqualize,
  kInvert,
  kRotate,
  kPosterize,
  kSolarize,
  kSolarizeAdd,
  kColor,
  kContrast,
  kBrightness,
  kSharpness,
  kShearX,
  kShearY,
  kTranslateX,
  kTranslateY,
};

std::span<const TimmOp> timm_ops();
// timm's name: "PosterizeIncreasing", "TranslateXRel".
std::string timm_op_name(TimmOp op, bool increasing);

struct TimmRandAugment {
  int magnitude = 10;
  double magstd = 0;  // of N(magnitude, magstd); infinite: evenly in [0, magnitude)
  int num_layers = 2;
  double prob = 0.5;        // of each layer
  int max = 10;             // levels are cut to [0, max]
  bool increasing = false;  // operations whose strength grows with the level
  // The colour of pixels from outside the image; timm takes the mean that pixels are normalised
  // with.
  std::vector<uint8_t> fill = {128, 128, 128};
};

// Whether a recipe's augment.type is timm's string.
bool is_timm_randaugment(const std::string& text);
// Sections m, n, p, mstd, mmax and inc. Throws UsageError that names the section and what is known.
TimmRandAugment parse_timm_randaugment(const std::string& text);
std::string describe(const TimmRandAugment& settings);  // one line for people

// The argument of the operation at `level` of 10: degrees, bits, threshold, factor, shear or share
// of the side; 0 for operations without one. `negative` counts where a sign is drawn.
double timm_argument(TimmOp op, double level, bool increasing, bool negative);
Image apply_timm_op(Image image, TimmOp op, double argument, const PillowTransform& how);

Image timm_rand_augment(Image image, const TimmRandAugment& settings, Rng& rng);

}  // namespace nestvit

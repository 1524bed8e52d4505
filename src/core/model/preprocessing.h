// How an image becomes the model's input: a property of the model, stored with it. Data only;
// src/core/image does it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"

namespace nestvit {

// kTf: TensorFlow's resize without antialias, in float (the paper's code). kPil: Pillow's
// antialiased fixed-point resize on 8-bit images (timm). Mixing them costs accuracy silently.
enum class Resampler { kTf, kPil };
enum class Interpolation { kBilinear, kBicubic };
enum class CropMode { kCenter, kSquash, kBorder };  // timm's crop_mode
// The JPEG inverse DCT: TensorFlow decodes with the fast one, Pillow with the accurate one.
enum class Dct { kFast, kAccurate };

struct Preprocessing {
  int image_size = 224;  // S; the input is S x S
  int channels = 3;      // 1: luma
  Resampler resampler = Resampler::kTf;
  Interpolation interpolation = Interpolation::kBilinear;  // kTf: bilinear only
  double crop_pct = 0.875;                           // the shorter side becomes S / crop_pct
  CropMode crop_mode = CropMode::kCenter;            // kTf: centre only
  std::vector<double> mean = {0.485, 0.456, 0.406};  // of pixels in [0, 1]; one per channel
  std::vector<double> std = {0.229, 0.224, 0.225};
  Dct dct = Dct::kFast;
  bool exif_orientation = false;  // turn as the camera says; both peers do not
  // What shows through alpha; unset: alpha is dropped, as both peers do.
  std::optional<std::array<uint8_t, 3>> background;

  bool operator==(const Preprocessing&) const = default;
};

Fields fields(Preprocessing& preprocessing);

// "jax": the official evaluation (reference.md D.8). "timm": timm's evaluation transform (bicubic).
// Neither knows images without colour: those get mean and std 0.5. Throws UsageError for another
// mode.
Preprocessing preprocessing_mode(const std::string& mode, int image_size, int channels = 3);

// Mean and std as the official code has them for a data set: "cifar10", "cifar100", any other name:
// ImageNet's (reference.md D.7). One channel gets the average of the three.
void set_normalisation(Preprocessing& preprocessing, const std::string& dataset);

}  // namespace nestvit

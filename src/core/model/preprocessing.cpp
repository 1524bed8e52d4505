// The two named preprocessings, and the field list.
#include "model/preprocessing.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <charconv>

namespace nestvit {
namespace {

std::string colour_text(const std::optional<std::array<uint8_t, 3>>& colour) {
  return colour ? fmt::format("{:02x}{:02x}{:02x}", (*colour)[0], (*colour)[1], (*colour)[2])
                : "drop";
}

std::optional<std::array<uint8_t, 3>> parse_colour(const std::string& text) {
  if (text == "drop" || text.empty()) return std::nullopt;
  if (text == "white") return std::array<uint8_t, 3>{255, 255, 255};
  if (text == "black") return std::array<uint8_t, 3>{0, 0, 0};
  const std::string digits = text[0] == '#' ? text.substr(1) : text;
  uint32_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != 6 || error != std::errc() || end != digits.data() + digits.size())
    throw UsageError(fmt::format("background \"{}\" is not a colour", text),
                     "give drop, white, black or six hex digits");
  return std::array<uint8_t, 3>{static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8),
                                static_cast<uint8_t>(value)};
}

}  // namespace

Fields fields(Preprocessing& p) {
  Fields f;
  f.add("image_size", &p.image_size, "side of the square input in pixels");
  f.add("channels", &p.channels, "1 (luma) or 3");
  f.choice("resampler", &p.resampler, {{Resampler::kTf, "tf"}, {Resampler::kPil, "pil"}},
           "tf: TensorFlow's resize without antialias, in float; pil: Pillow's antialiased resize, "
           "in 8 bits");
  f.choice("interpolation", &p.interpolation,
           {{Interpolation::kBilinear, "bilinear"}, {Interpolation::kBicubic, "bicubic"}},
           "filter of the resize");
  f.add("crop_pct", &p.crop_pct, "share of the resized image that the input keeps");
  f.choice(
      "crop_mode", &p.crop_mode,
      {{CropMode::kCenter, "center"}, {CropMode::kSquash, "squash"}, {CropMode::kBorder, "border"}},
      "center: resize the shorter side, crop; squash: resize both sides; border: fit, pad");
  f.add("mean", &p.mean, "subtracted from pixels in [0, 1], per channel");
  f.add("std", &p.std, "divides, per channel");
  f.choice("dct", &p.dct, {{Dct::kFast, "fast"}, {Dct::kAccurate, "accurate"}},
           "JPEG decoding: fast as TensorFlow, accurate as Pillow");
  f.add("exif_orientation", &p.exif_orientation, "turn photos as the camera recorded");
  Choice background;  // not a closed list of names, so it validates itself
  background.get = [&p] { return colour_text(p.background); };
  background.set = [&p](const std::string& text) { p.background = parse_colour(text); };
  f.add("background", background,
        "what shows through transparent pixels: drop (alpha is ignored), white, black, rrggbb");
  return f;
}

Preprocessing preprocessing_mode(const std::string& mode, int image_size, int channels) {
  Preprocessing p;
  p.channels = channels;
  if (channels != 3) p.mean = p.std = std::vector<double>(static_cast<size_t>(channels), 0.5);
  p.image_size = image_size;
  if (mode == "jax") return p;
  if (mode != "timm")
    throw UsageError(
        fmt::format("unknown preprocessing \"{}\"", mode),
        "jax: the official evaluation (TensorFlow's bilinear); timm: timm's (Pillow's bicubic)");
  p.resampler = Resampler::kPil;
  p.interpolation = Interpolation::kBicubic;
  p.dct = Dct::kAccurate;
  return p;
}

void set_normalisation(Preprocessing& p, const std::string& dataset) {
  if (dataset == "cifar10") {
    p.mean = {.4914, .4822, .4465};
    p.std = {.2471, .2435, .2616};
  } else if (dataset == "cifar100") {
    p.mean = {.5071, .4867, .4408};
    p.std = {.2675, .2565, .2761};
  } else {
    p.mean = {.485, .456, .406};
    p.std = {.229, .224, .225};
  }
  if (p.channels != 1) return;
  p.mean = {(p.mean[0] + p.mean[1] + p.mean[2]) / 3};
  p.std = {(p.std[0] + p.std[1] + p.std[2]) / 3};
}

}  // namespace nestvit

// timm's auto_augment.py: levels, operations, and the string that configures them.
#include "image/augment/timm_augment.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "image/augment/randaugment_ops.h"

namespace nestvit {
namespace {

constexpr double kLevels = 10;  // _LEVEL_DENOM
constexpr const char* kKnown =
    "sections are m (0 to 10), n (layers), p (0 to 1), mstd, mmax and inc (0 or 1), as in "
    "rand-m9-mstd0.5-inc1";

constexpr std::array kOps = {TimmOp::kAutoContrast, TimmOp::kEqualize,   TimmOp::kInvert,
                             TimmOp::kRotate,       TimmOp::kPosterize,  TimmOp::kSolarize,
                             TimmOp::kSolarizeAdd,  TimmOp::kColor,      TimmOp::kContrast,
                             TimmOp::kBrightness,   TimmOp::kSharpness,  TimmOp::kShearX,
                             TimmOp::kShearY,       TimmOp::kTranslateX, TimmOp::kTranslateY};

// Operations whose levels run the other way with "inc1".
bool has_increasing(TimmOp op) {
  return op == TimmOp::kPosterize || op == TimmOp::kSolarize ||
         (op >= TimmOp::kColor && op <= TimmOp::kSharpness);
}

[[noreturn]] void fail(const std::string& text, const std::string& section) {
  throw UsageError(
      fmt::format("RandAugment \"{}\": the section \"{}\" is not understood", text, section),
      kKnown);
}

// "mstd0.5" -> "mstd" and 0.5.
struct Section {
  std::string key;
  double value = 0;
};
Section section_of(const std::string& text, const std::string& part) {
  const size_t digits = std::min(part.find_first_of("0123456789"), part.size());
  Section section{part.substr(0, digits)};
  const char* end = part.data() + part.size();
  const auto [stop, status] = std::from_chars(part.data() + digits, end, section.value);
  if (status != std::errc() || stop != end) fail(text, part);
  return section;
}

int whole(const std::string& text, const std::string& part, double value, int low, int high) {
  if (value != std::floor(value) || value < low || value > high) fail(text, part);
  return static_cast<int>(value);
}

double draw_level(const TimmRandAugment& s, Rng& rng) {
  double level = s.magnitude;
  if (std::isinf(s.magstd)) {
    level = rng.uniform_double() * s.magnitude;
  } else if (s.magstd > 0) {
    level += s.magstd * static_cast<double>(rng.normal());
  }
  return std::clamp(level, 0.0, static_cast<double>(s.max));
}

}  // namespace

std::span<const TimmOp> timm_ops() { return kOps; }

std::string timm_op_name(TimmOp op, bool increasing) {
  static const std::vector<std::string> names = {
      "AutoContrast", "Equalize",    "Invert", "Rotate",        "Posterize",
      "Solarize",     "SolarizeAdd", "Color",  "Contrast",      "Brightness",
      "Sharpness",    "ShearX",      "ShearY", "TranslateXRel", "TranslateYRel"};
  return names[static_cast<size_t>(op)] + (increasing && has_increasing(op) ? "Increasing" : "");
}

bool is_timm_randaugment(const std::string& text) {
  return text == "rand" || text.starts_with("rand-");
}

TimmRandAugment parse_timm_randaugment(const std::string& text) {
  TimmRandAugment s;
  for (size_t at = text.find('-'); at != std::string::npos;) {
    const size_t next = text.find('-', at + 1);
    const std::string part = text.substr(at + 1, next == std::string::npos ? next : next - at - 1);
    const auto [key, value] = section_of(text, part);
    if (key == "m") {
      s.magnitude = whole(text, part, value, 0, 100);
    } else if (key == "n") {
      s.num_layers = whole(text, part, value, 0, 100);
    } else if (key == "p" && value >= 0 && value <= 1) {
      s.prob = value;
    } else if (key == "mstd") {
      s.magstd = value > 100 ? std::numeric_limits<double>::infinity() : value;
    } else if (key == "mmax") {
      s.max = whole(text, part, value, 1, 100);
    } else if (key == "inc") {
      s.increasing = whole(text, part, value, 0, 1) == 1;
    } else {
      fail(text, part);
    }
    at = next;
  }
  return s;
}

std::string describe(const TimmRandAugment& s) {
  const std::string level = std::isinf(s.magstd) ? fmt::format("even in 0 to {}", s.magnitude)
                            : s.magstd > 0       ? fmt::format("N({}, {})", s.magnitude, s.magstd)
                                                 : fmt::format("{}", s.magnitude);
  return fmt::format(
      "timm's RandAugment: {} of {} operations{}, level {} of 10, each with probability {}",
      s.num_layers, kOps.size(), s.increasing ? " that grow with the level" : "", level, s.prob);
}

double timm_argument(TimmOp op, double level, bool increasing, bool negative) {
  const double share = level / kLevels, sign = negative ? -1 : 1;
  switch (op) {
    case TimmOp::kRotate:
      return sign * (share * 30);
    case TimmOp::kPosterize: {
      const double bits = std::trunc(share * 4);
      return increasing ? 4 - bits : bits;
    }
    case TimmOp::kSolarize: {
      const double threshold = std::min(256.0, std::trunc(share * 256));
      return increasing ? 256 - threshold : threshold;
    }
    case TimmOp::kSolarizeAdd:
      return std::min(128.0, std::trunc(share * 110));
    case TimmOp::kColor:
    case TimmOp::kContrast:
    case TimmOp::kBrightness:
    case TimmOp::kSharpness:
      return increasing ? std::max(0.1, 1 + sign * (share * 0.9)) : share * 1.8 + 0.1;
    case TimmOp::kShearX:
    case TimmOp::kShearY:
      return sign * (share * 0.3);
    case TimmOp::kTranslateX:
    case TimmOp::kTranslateY:
      return sign * (share * 0.45);
    default:
      return 0;
  }
}

Image apply_timm_op(Image image, TimmOp op, double argument, const PillowTransform& how) {
  const auto number = static_cast<int>(argument);
  switch (op) {
    case TimmOp::kAutoContrast:
      return pillow_auto_contrast(std::move(image));
    case TimmOp::kEqualize:  // this and two more are TensorFlow's, bit for bit
      return apply_tf_argument(std::move(image), TfOp::kEqualize, 0);
    case TimmOp::kInvert:
      return apply_tf_argument(std::move(image), TfOp::kInvert, 0);
    case TimmOp::kSolarizeAdd:
      return apply_tf_argument(std::move(image), TfOp::kSolarizeAdd, static_cast<float>(number));
    case TimmOp::kPosterize:
      return pillow_posterize(std::move(image), number);
    case TimmOp::kSolarize:
      return pillow_solarize(std::move(image), number);
    case TimmOp::kColor:
      return pillow_color(std::move(image), argument);
    case TimmOp::kContrast:
      return pillow_contrast(std::move(image), argument);
    case TimmOp::kBrightness:
      return pillow_brightness(std::move(image), argument);
    case TimmOp::kSharpness:
      return pillow_sharpness(std::move(image), argument);
    case TimmOp::kRotate:
      return pillow_rotate(std::move(image), argument, how);
    case TimmOp::kShearX:
      return pillow_affine(image, {1, argument, 0, 0, 1, 0}, how);
    case TimmOp::kShearY:
      return pillow_affine(image, {1, 0, 0, argument, 1, 0}, how);
    case TimmOp::kTranslateX:
      return pillow_affine(image, {1, 0, argument * image.width, 0, 1, 0}, how);
    case TimmOp::kTranslateY:
      return pillow_affine(image, {1, 0, 0, 0, 1, argument * image.height}, how);
  }
  return image;
}

Image timm_rand_augment(Image image, const TimmRandAugment& s, Rng& rng) {
  PillowTransform how{Interpolation::kBicubic, s.fill};
  for (int i = 0; i < s.num_layers; ++i) {
    const TimmOp op = kOps[rng.below(kOps.size())];
    const bool applies = rng.uniform_double() < s.prob;
    const double level = draw_level(s, rng);
    const bool negative = rng.uniform() < 0.5f;
    how.interpolation = rng.uniform() < 0.5f ? Interpolation::kBilinear : Interpolation::kBicubic;
    if (applies)
      image = apply_timm_op(std::move(image), op, timm_argument(op, level, s.increasing, negative),
                            how);
  }
  return image;
}

}  // namespace nestvit

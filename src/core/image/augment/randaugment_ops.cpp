// The colour operations are table look-ups wherever a result depends on one value alone; the
// arithmetic is float32 in TensorFlow's order.
#include "image/augment/randaugment_ops.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/fields.h"
#include "base/text.h"
#include "image/augment/geometric.h"
#include "image/augment/lookup.h"

namespace nestvit {
namespace {

constexpr std::array kOps = {
    TfOp::kAutoContrast, TfOp::kEqualize, TfOp::kRotate,      TfOp::kPosterize,
    TfOp::kSolarize,     TfOp::kColor,    TfOp::kContrast,    TfOp::kBrightness,
    TfOp::kSharpness,    TfOp::kShearX,   TfOp::kShearY,      TfOp::kTranslateX,
    TfOp::kTranslateY,   TfOp::kIdentity, TfOp::kSolarizeAdd, TfOp::kInvert};

// sat8(degenerate + factor * (value - degenerate))
uint8_t blend(float degenerate, float value, float factor) {
  return saturate_u8(degenerate + factor * (value - degenerate));
}

// --- Operations by histogram -------------------------------------------------------------------

Table auto_contrast_table(const Histogram& histogram) {
  int low = 0, high = 255;
  while (low < 255 && histogram[low] == 0) ++low;
  while (high > 0 && histogram[high] == 0) --high;
  if (high <= low) return table_of([](int v) { return static_cast<uint8_t>(v); });
  const float scale = 255.0f / static_cast<float>(high - low);
  const float offset = -static_cast<float>(low) * scale;
  return table_of([&](int v) { return saturate_u8(static_cast<float>(v) * scale + offset); });
}

Table equalize_table(const Histogram& histogram) {
  int64_t total = 0, last = 0;
  for (int64_t count : histogram) {
    total += count;
    if (count > 0) last = count;
  }
  const int64_t step = (total - last) / 255;
  Table table{};
  if (step == 0) return table_of([](int v) { return static_cast<uint8_t>(v); });
  int64_t below = 0;
  for (size_t v = 1; v < 256; ++v) {
    below += histogram[v - 1];
    table[v] = static_cast<uint8_t>(std::min<int64_t>((below + step / 2) / step, 255));
  }
  return table;
}

// --- Operations on the grey image --------------------------------------------------------------

// trunc(255.5 * (weighted sum of v/255)), as rgb_to_grayscale makes it of 8 bits; 1 channel:
// itself.
struct GreyTables {
  std::array<std::array<float, 256>, 3> weighted;
  GreyTables() {
    for (size_t c = 0; c < 3; ++c)
      for (size_t v = 0; v < 256; ++v)
        weighted[c][v] = static_cast<float>(v) * (1.0f / 255.0f) * kGreyWeights[c];
  }
  uint8_t operator()(const uint8_t* p) const {
    const float sum = weighted[0][p[0]] + weighted[1][p[1]] + weighted[2][p[2]];
    return static_cast<uint8_t>(sum * 255.5f);
  }
};

const GreyTables& grey_tables() {
  static const GreyTables tables;
  return tables;
}

void color(Image& image, float factor) {
  if (image.channels == 1) return;  // grey already
  const GreyTables& grey = grey_tables();
  // The product for every difference of two 8-bit values.
  std::array<float, 511> products;
  for (int d = -255; d <= 255; ++d) products[d + 255] = factor * static_cast<float>(d);
  uint8_t* end = image.pixels.data() + image.pixels.size();
  for (uint8_t* p = image.pixels.data(); p != end; p += 3) {
    const int g = grey(p);
    for (int c = 0; c < 3; ++c)
      p[c] = saturate_u8(static_cast<float>(g) + products[p[c] - g + 255]);
  }
}

void contrast(Image& image, float factor) {
  int64_t sum = 0;
  if (image.channels == 1) {
    for (uint8_t v : image.pixels) sum += v;
  } else {
    const GreyTables& grey = grey_tables();
    for (size_t i = 0; i < image.pixels.size(); i += 3) sum += grey(&image.pixels[i]);
  }
  const size_t count = image.pixels.size() / image.channels;
  const float mean = static_cast<float>(static_cast<double>(sum) / static_cast<double>(count));
  const float middle = saturate_u8(mean + 0.5f);
  look_up(image, table_of([&](int v) { return blend(middle, static_cast<float>(v), factor); }));
}

// --- Sharpness ---------------------------------------------------------------------------------

// Adds a row's three taps of the 3 x 3 kernel to `sums`, from the left: rounding depends on order.
void add_taps(const float* row, float middle, size_t count, size_t channels, float* sums) {
  constexpr float kOuter = 1.0f / 13.0f;
  for (size_t i = 0; i < count; ++i)
    sums[i] =
        ((sums[i] + row[i] * kOuter) + row[i + channels] * middle) + row[i + 2 * channels] * kOuter;
}

// The border keeps its values: the blend of a pixel with itself.
Image sharpness(const Image& image, float factor) {
  constexpr float kOuter = 1.0f / 13.0f, kCentre = 5.0f / 13.0f;
  Image result = image;
  if (image.height < 3 || image.width < 3) return result;
  const auto channels = static_cast<size_t>(image.channels);
  const size_t stride = image.width * channels, inner = stride - 2 * channels;
  std::vector<float> rows(3 * stride), sums(inner);  // the last three input rows, as a ring
  const auto load = [&](int y) {
    const uint8_t* from = image.pixels.data() + y * stride;
    std::transform(from, from + stride, rows.data() + y % 3 * stride,
                   [](uint8_t v) { return static_cast<float>(v); });
  };
  load(0);
  load(1);
  for (int y = 1; y + 1 < image.height; ++y) {
    load(y + 1);
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int dy = -1; dy <= 1; ++dy)
      add_taps(&rows[(y + dy) % 3 * stride], dy == 0 ? kCentre : kOuter, inner, channels,
               sums.data());
    const float* centre = &rows[y % 3 * stride + channels];
    uint8_t* to = result.pixels.data() + y * stride + channels;
    for (size_t i = 0; i < inner; ++i) {
      const auto smooth = static_cast<float>(static_cast<int>(sums[i]));  // 0 to 255 by its weights
      to[i] = blend(smooth, centre[i], factor);
    }
  }
  return result;
}

void check_image(const Image& image) {
  NESTVIT_CHECK(image.channels == 1 || image.channels == 3);
  NESTVIT_CHECK(image.height > 0 && image.width > 0 && image.pixels.size() == image.size());
}

}  // namespace

std::span<const TfOp> tf_ops() { return kOps; }

const std::vector<std::string>& tf_op_names() {
  static const std::vector<std::string> names = {
      "AutoContrast", "Equalize",   "Rotate",      "Posterize", "Solarize", "Color",
      "Contrast",     "Brightness", "Sharpness",   "ShearX",    "ShearY",   "TranslateX",
      "TranslateY",   "Identity",   "SolarizeAdd", "Invert"};
  return names;
}

const std::string& tf_op_name(TfOp op) { return tf_op_names()[static_cast<size_t>(op)]; }

TfOp parse_tf_op(const std::string& name) {
  const auto& names = tf_op_names();
  for (TfOp op : kOps)
    if (ascii_lower(tf_op_name(op)) == ascii_lower(name)) return op;
  const std::string close = nearest(name, names);
  throw UsageError(fmt::format("there is no augmentation \"{}\"", name),
                   close.empty() ? fmt::format("the names: {}", fmt::join(names, ", "))
                                 : fmt::format("did you mean \"{}\"?", close));
}

bool takes_sign(TfOp op) {
  return op == TfOp::kRotate || (op >= TfOp::kShearX && op <= TfOp::kTranslateY);
}

bool takes_level(TfOp op) {
  return op != TfOp::kAutoContrast && op != TfOp::kEqualize && op != TfOp::kIdentity &&
         op != TfOp::kInvert;
}

TfOpSettings tf_op_settings(int size) {
  switch (size) {
    case 224:
      return {100};
    case 128:
      return {40};
    case 96:
      return {30};
    case 32:
      return {10};
    default:
      return {static_cast<int>(0.3 * size)};
  }
}

float tf_argument(TfOp op, float level, bool negative, const TfOpSettings& settings) {
  if (!(level >= 0 && level <= 1))
    throw UsageError(fmt::format("the level of {} is {}", tf_op_name(op), level),
                     "it must be in [0, 1]");
  const float sign = negative ? -1.0f : 1.0f;
  switch (op) {
    case TfOp::kRotate:
      return sign * (level * 30.0f);
    case TfOp::kPosterize:
      return std::trunc(level * 4.0f);
    case TfOp::kSolarize:
      return std::trunc(level * 256.0f);
    case TfOp::kSolarizeAdd:
      return std::trunc(level * 110.0f);
    case TfOp::kColor:
    case TfOp::kContrast:
    case TfOp::kBrightness:
    case TfOp::kSharpness:
      return level * 1.8f + 0.1f;
    case TfOp::kShearX:
    case TfOp::kShearY:
      return sign * (level * 0.3f);
    case TfOp::kTranslateX:
    case TfOp::kTranslateY:
      return sign * (level * static_cast<float>(settings.translate_const));
    default:
      return 0;
  }
}

Image apply_tf_op(Image image, TfOp op, float level, bool negative, const TfOpSettings& settings) {
  return apply_tf_argument(std::move(image), op, tf_argument(op, level, negative, settings));
}

Image apply_tf_argument(Image image, TfOp op, float argument) {
  check_image(image);
  const auto each = [&image](auto value) { look_up(image, table_of(value)); };
  // Of operations with whole arguments, which all lie far inside.
  const int whole = static_cast<int>(std::clamp(argument, -1e6f, 1e6f));
  switch (op) {
    case TfOp::kAutoContrast:
      by_histogram(image, auto_contrast_table);
      break;
    case TfOp::kEqualize:
      by_histogram(image, equalize_table);
      break;
    case TfOp::kRotate:
      return transformed(image, rotation(argument, image.height, image.width));
    case TfOp::kPosterize: {
      const int shift = std::clamp(8 - whole, 0, 7);  // TensorFlow shifts by at most 7
      each([&](int v) { return static_cast<uint8_t>(v >> shift << shift); });
      break;
    }
    case TfOp::kSolarize:
      each([&](int v) { return static_cast<uint8_t>(v < std::min(whole, 255) ? v : 255 - v); });
      break;
    case TfOp::kColor:
      color(image, argument);
      break;
    case TfOp::kContrast:
      contrast(image, argument);
      break;
    case TfOp::kBrightness:
      each([&](int v) { return blend(0, static_cast<float>(v), argument); });
      break;
    case TfOp::kSharpness:
      return sharpness(image, argument);
    case TfOp::kShearX:
      return transformed(image, {.b = argument});
    case TfOp::kShearY:
      return transformed(image, {.d = argument});
    case TfOp::kTranslateX:
      return transformed(image, {.c = argument});
    case TfOp::kTranslateY:
      return transformed(image, {.f = argument});
    case TfOp::kIdentity:
      break;
    case TfOp::kSolarizeAdd:
      each([&](int v) { return static_cast<uint8_t>(v < 128 ? std::min(v + whole, 255) : v); });
      break;
    case TfOp::kInvert:
      each([](int v) { return static_cast<uint8_t>(255 - v); });
      break;
  }
  return image;
}

Image cutout(Image image, float cy, float cx) {
  check_image(image);
  const auto span = [](float centre, int side) {
    const int middle = static_cast<int>(std::nearbyint(centre)), half = side / 4;
    return std::pair{std::max(middle - half, 0), std::min(middle + half, side)};
  };
  const auto [top, bottom] = span(cy, image.height);
  const auto [left, right] = span(cx, image.width);
  if (left >= right) return image;
  const auto channels = static_cast<size_t>(image.channels);
  for (int y = top; y < bottom; ++y)
    std::memset(&image.pixels[(static_cast<size_t>(y) * image.width + left) * channels], 128,
                (right - left) * channels);
  return image;
}

}  // namespace nestvit

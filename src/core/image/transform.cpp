// Decode, resize, crop and flip as the official code (kTf) and timm (kPil) do; see the contracts in
// transform.h.
#include "image/transform.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "image/codecs/codec.h"
#include "image/per_isa.h"
#include "image/resize.h"

namespace nestvit {
namespace {

void check_settings(const Preprocessing& p) {
  if (p.image_size < 1 || p.image_size > 1 << 14)
    throw UsageError(fmt::format("image_size is {}, expected 1 to {}", p.image_size, 1 << 14));
  if (!(p.crop_pct >= 0.01 && p.crop_pct <= 100))
    throw UsageError(fmt::format("crop_pct is {}, expected 0.01 to 100", p.crop_pct));
  if (p.channels != 1 && p.channels != 3)
    throw UsageError(fmt::format("channels is {}, expected 1 or 3", p.channels));
}

double round_even(double x) { return std::nearbyint(x); }

// The part of one axis that a centre crop of `size` takes: [begin, begin + count), after `before`
// of padding.
struct Span {
  int begin = 0;
  int count = 0;
  int before = 0;
};

// torchvision's CenterCrop (and timm's CenterCropOrPad): its offset rounds half to even.
Span centre_rounded(int64_t side, int size) {
  if (side < size) return {0, static_cast<int>(side), (size - static_cast<int>(side)) / 2};
  return {static_cast<int>(round_even(static_cast<double>(side - size) / 2)), size, 0};
}

// The official code's: its offset rounds down. It has no crop beyond the image; such a crop is
// padded as in timm.
Span centre_floor(int64_t side, int size) {
  if (side < size) return centre_rounded(side, size);
  return {static_cast<int>((side - size) / 2), size, 0};
}

// Where an image of another size lies on the input: resized as a whole to `target`, whose window
// fills `rows` and `columns`.
struct Placement {
  ResizeTarget target;
  Span rows, columns;
};

Placement placed(int64_t height, int64_t width, Span rows, Span columns) {
  return {{height, width, {rows.begin, columns.begin, rows.count, columns.count}}, rows, columns};
}

Placement place_tf(int image_height, int image_width, const Preprocessing& p) {
  const int size = p.image_size;
  // For 0.875 the reference computes 256/224 * S, which may differ from S / 0.875 by one.
  const int shorter =
      static_cast<int>(p.crop_pct == 0.875 ? 256.0 / 224.0 * size : size / p.crop_pct);
  const float ratio =
      static_cast<float>(shorter) / static_cast<float>(std::min(image_height, image_width));
  const auto side = [&](int length) {
    return std::max<int64_t>(std::llrint(static_cast<float>(length) * ratio), 1);
  };
  const int64_t height = side(image_height), width = side(image_width);
  return placed(height, width, centre_floor(height, size), centre_floor(width, size));
}

// timm's transforms_imagenet_eval.
Placement place_pil(int image_height, int image_width, const Preprocessing& p) {
  const int size = p.image_size;
  const auto scaled = static_cast<int64_t>(std::floor(size / p.crop_pct));
  int64_t height = scaled, width = scaled;  // kSquash
  if (p.crop_mode == CropMode::kCenter) {
    // torchvision: int(size * long / short)
    const auto longer =
        static_cast<int64_t>(static_cast<double>(scaled * std::max(image_height, image_width)) /
                             std::min(image_height, image_width));
    if (image_height < image_width)
      width = longer;
    else
      height = longer;
  } else if (p.crop_mode == CropMode::kBorder) {
    const double ratio =
        static_cast<double>(std::max(image_height, image_width)) / static_cast<double>(scaled);
    height = std::max<int64_t>(static_cast<int64_t>(round_even(image_height / ratio)), 1);
    width = std::max<int64_t>(static_cast<int64_t>(round_even(image_width / ratio)), 1);
  }
  return placed(height, width, centre_rounded(height, size), centre_rounded(width, size));
}

Placement place(int height, int width, const Preprocessing& p) {
  return p.resampler == Resampler::kTf ? place_tf(height, width, p) : place_pil(height, width, p);
}

// `pixels` placed on S x S of `fill`.
Pixels padded(Pixels pixels, int size, Span rows, Span columns, const std::vector<float>& fill) {
  if (pixels.height == size && pixels.width == size) return pixels;
  const int channels = pixels.channels;
  Pixels result{size, size, channels, {}};
  result.values.resize(static_cast<size_t>(size) * size * channels);
  for (size_t i = 0; i < result.values.size(); ++i) result.values[i] = fill[i % channels];
  const size_t length = static_cast<size_t>(pixels.width) * channels;
  for (int y = 0; y < pixels.height; ++y)
    std::copy_n(pixels.values.data() + y * length, length,
                result.values.data() +
                    (static_cast<size_t>(rows.before + y) * size + columns.before) * channels);
  return result;
}

// The colour of what the image does not cover.
std::vector<float> border_colour(int channels, const Preprocessing& p) {
  std::vector<float> fill(static_cast<size_t>(channels), 0.0f);
  if (p.resampler == Resampler::kPil && p.crop_mode == CropMode::kBorder)
    for (size_t c = 0; c < std::min(fill.size(), p.mean.size()); ++c)
      fill[c] = static_cast<float>(std::clamp(round_even(255 * p.mean[c]), 0.0, 255.0));
  return fill;
}

Pixels evaluate(const Image& image, const Preprocessing& p) {
  const Placement at = place(image.height, image.width, p);
  Pixels part = p.resampler == Resampler::kTf
                    ? resize_tf(image, at.target)
                    : to_pixels(resize_pil(image, at.target, p.interpolation));
  return padded(std::move(part), p.image_size, at.rows, at.columns,
                border_colour(image.channels, p));
}

bool coin(Rng& rng) { return rng.uniform() < 0.5f; }

// The part of the sample that `draw` (height, width -> Box) picks; little more is decoded.
template <class F>
Image drawn_part(const Sample& sample, const Preprocessing& p, Decoding decoding, F draw) {
  Image image;
  int orientation = 1, height = 0, width = 0;
  if (!sample.encoded.empty()) {
    const ImageInfo info = probe_image(sample.encoded, sample.name);
    orientation = p.exif_orientation ? info.orientation : 1;
    height = info.height;
    width = info.width;
  }
  // Windows are in stored coordinates; a turned picture is cropped after turning.
  if (sample.encoded.empty() || orientation != 1) {
    image = decoded(sample, p);
    return crop(image, draw(image.height, image.width));
  }
  if (height < 1 || width < 1) throw Error(sample.name + ": the image is empty");
  DecodeOptions options = decode_options(p);
  if (decoding == Decoding::kScaled) options.shrink_to = p.image_size;
  return decode_window(sample.encoded, draw(height, width), options, sample.name);
}

Pixels train_crop(const Sample& sample, const Preprocessing& p, Decoding decoding, Rng& rng) {
  const Image image = drawn_part(sample, p, decoding, [&rng](int height, int width) {
    return sample_crop(height, width, rng);
  });
  const int size = p.image_size;
  Pixels pixels = p.resampler == Resampler::kTf
                      ? resize_tf(image, {size, size, {0, 0, size, size}})
                      : to_pixels(resize_pil(image, size, size, p.interpolation));
  return coin(rng) ? flip_horizontal(pixels) : pixels;
}

Pixels train_rrc(const Sample& sample, const Preprocessing& p, Decoding decoding, Rng& rng) {
  const Image image = drawn_part(sample, p, decoding, [&rng](int height, int width) {
    return sample_timm_crop(height, width, rng);
  });
  const auto interpolation = coin(rng) ? Interpolation::kBilinear : Interpolation::kBicubic;
  Pixels pixels = to_pixels(resize_pil(image, p.image_size, p.image_size, interpolation));
  return coin(rng) ? flip_horizontal(pixels) : pixels;
}

Pixels train_pad(const Sample& sample, const Preprocessing& p, Rng& rng) {
  constexpr int kBorder = 2;  // of zeros, on each side
  const int size = p.image_size;
  const Image image = decoded(sample, p);
  const Pixels whole =
      image.height == size && image.width == size ? to_pixels(image) : evaluate(image, p);
  const int dy = static_cast<int>(rng.below(2 * kBorder + 1)) - kBorder;
  const int dx = static_cast<int>(rng.below(2 * kBorder + 1)) - kBorder;
  Pixels shifted{size, size, whole.channels, std::vector<float>(whole.values.size(), 0.0f)};
  const int left = std::max(dx, 0), count = std::max(size - std::abs(dx), 0);
  for (int y = std::max(-dy, 0); y < std::min(size - dy, size); ++y) {
    const size_t from = (static_cast<size_t>(y + dy) * size + left) * whole.channels;
    const size_t to = (static_cast<size_t>(y) * size + std::max(-dx, 0)) * whole.channels;
    std::copy_n(whole.values.data() + from, static_cast<size_t>(count) * whole.channels,
                shifted.values.data() + to);
  }
  return coin(rng) ? flip_horizontal(shifted) : shifted;
}

int round_int(float x) { return static_cast<int>(std::lrintf(x)); }

// One attempt of sample_crop; false: rejected.
bool attempt_crop(int height, int width, Rng& rng, Box& box) {
  constexpr float kMinAspect = 0.75f, kMaxAspect = 1.33f, kMinArea = 0.05f, kMaxArea = 1.0f;
  const float all = static_cast<float>(height) * static_cast<float>(width);
  const float min_area = kMinArea * all, max_area = kMaxArea * all;
  const float aspect = rng.uniform() * (kMaxAspect - kMinAspect) + kMinAspect;
  int h = round_int(std::sqrt(min_area / aspect));
  int most = round_int(std::sqrt(max_area / aspect));
  const auto width_of = [&](int rows) { return round_int(static_cast<float>(rows) * aspect); };
  if (width_of(most) > width) {
    most = static_cast<int>((static_cast<float>(width) + 0.5f - 1e-7f) / aspect);
    if (width_of(most) > width) --most;
  }
  most = std::min(most, height);
  h = std::min(h, most);
  if (h < most) h += static_cast<int>(rng.below(static_cast<uint64_t>(most - h) + 1));
  int w = width_of(h);
  const auto area = [&] { return static_cast<float>(w) * static_cast<float>(h); };
  if (area() < min_area) w = width_of(++h);
  if (area() > max_area) w = width_of(--h);
  if (area() < min_area || area() > max_area || w > width || h > height || w < 1 || h < 1)
    return false;
  box.height = h;
  box.width = w;
  // The last possible offset is never drawn, as in the reference.
  box.y = h < height ? static_cast<int>(rng.below(static_cast<uint64_t>(height - h))) : 0;
  box.x = w < width ? static_cast<int>(rng.below(static_cast<uint64_t>(width - w))) : 0;
  return true;
}

}  // namespace

Image decoded(const Sample& sample, const Preprocessing& p) {
  if (!sample.encoded.empty()) return decode_image(sample.encoded, decode_options(p), sample.name);
  const Image& image = sample.image;
  if (image.height < 1 || image.width < 1 || image.pixels.size() != image.size())
    throw Error(fmt::format("{}: the image is empty or incomplete: {}x{}x{} with {} bytes",
                            sample.name, image.height, image.width, image.channels,
                            image.pixels.size()));
  return to_channels(image, p.channels);
}

Pixels evaluation_pixels(const Sample& sample, const Preprocessing& preprocessing) {
  check_settings(preprocessing);
  return evaluate(decoded(sample, preprocessing), preprocessing);
}

View evaluation_view(int height, int width, const Preprocessing& preprocessing) {
  check_settings(preprocessing);
  NESTVIT_CHECK(height > 0 && width > 0);
  const Placement at = place(height, width, preprocessing);
  View view;
  view.scale_y = static_cast<double>(height) / static_cast<double>(at.target.height);
  view.scale_x = static_cast<double>(width) / static_cast<double>(at.target.width);
  view.shift_y = (at.rows.begin - at.rows.before) * view.scale_y;
  view.shift_x = (at.columns.begin - at.columns.before) * view.scale_x;
  return view;
}

Pixels training_pixels(const Sample& sample, const Preprocessing& preprocessing,
                       TrainTransform transform, Rng& rng, Decoding decoding) {
  check_settings(preprocessing);
  switch (transform) {
    case TrainTransform::kCrop:
      return train_crop(sample, preprocessing, decoding, rng);
    case TrainTransform::kRrc:
      return train_rrc(sample, preprocessing, decoding, rng);
    case TrainTransform::kPad:
      return train_pad(sample, preprocessing, rng);
    case TrainTransform::kFlip: {
      Pixels pixels = evaluation_pixels(sample, preprocessing);
      return coin(rng) ? flip_horizontal(pixels) : pixels;
    }
    case TrainTransform::kNone:
      break;
  }
  return evaluation_pixels(sample, preprocessing);
}

Box sample_crop(int height, int width, Rng& rng) {
  NESTVIT_CHECK(height > 0 && width > 0);
  constexpr int kAttempts = 100;
  Box box;
  for (int i = 0; i < kAttempts; ++i)
    if (attempt_crop(height, width, rng, box)) return box;
  return {0, 0, height, width};
}

Box sample_timm_crop(int height, int width, Rng& rng) {
  NESTVIT_CHECK(height > 0 && width > 0);
  constexpr int kAttempts = 10;
  constexpr double kMinArea = 0.08, kMinAspect = 3.0 / 4, kMaxAspect = 4.0 / 3;
  const double all = static_cast<double>(height) * width;
  const auto whole = [](double x) { return static_cast<int>(round_even(x)); };
  for (int i = 0; i < kAttempts; ++i) {
    const double area = (kMinArea + (1 - kMinArea) * rng.uniform_double()) * all;
    const double turn = std::log(kMaxAspect / kMinAspect) * rng.uniform_double();
    const double aspect = kMinAspect * std::exp(turn);
    const int w = whole(std::sqrt(area * aspect)), h = whole(std::sqrt(area / aspect));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    return {static_cast<int>(rng.below(static_cast<uint64_t>(height - h) + 1)),
            static_cast<int>(rng.below(static_cast<uint64_t>(width - w) + 1)), h, w};
  }
  // The largest box about the centre whose aspect is allowed.
  const double aspect = static_cast<double>(width) / height;
  const int h = aspect < kMinAspect ? std::max(1, whole(width / kMinAspect)) : height;
  const int w = aspect > kMaxAspect ? std::max(1, whole(height * kMaxAspect)) : width;
  return {(height - h) / 2, (width - w) / 2, h, w};
}

namespace {

NESTVIT_PER_ISA
void normalise_channel(const float* from, size_t count, size_t step, float mean, float deviation,
                       float* to) {
  for (size_t i = 0; i < count; ++i) to[i] = (from[i * step] / 255.0f - mean) / deviation;
}

}  // namespace

Image enlarge_small(const Image& image, int image_size) {
  const int side = static_cast<int>(image_size * 256.0 / 224.0);
  const Pixels pixels = resize_tf(to_pixels(image), side, side);
  Image result{side, side, image.channels, std::vector<uint8_t>(pixels.values.size())};
  std::transform(pixels.values.begin(), pixels.values.end(), result.pixels.begin(),
                 [](float v) { return static_cast<uint8_t>(v); });
  return result;
}

void normalise(const Pixels& pixels, const Preprocessing& preprocessing, std::span<float> chw) {
  const size_t channels = static_cast<size_t>(pixels.channels);
  const size_t count = static_cast<size_t>(pixels.height) * pixels.width;
  NESTVIT_CHECK(pixels.values.size() == count * channels && chw.size() == count * channels);
  if (preprocessing.mean.size() != channels || preprocessing.std.size() != channels)
    throw UsageError(fmt::format("mean has {} and std {} values, expected {}: one per channel",
                                 preprocessing.mean.size(), preprocessing.std.size(), channels));
  for (size_t c = 0; c < channels; ++c) {
    const auto mean = static_cast<float>(preprocessing.mean[c]);
    const auto deviation = static_cast<float>(preprocessing.std[c]);
    normalise_channel(pixels.values.data() + c, count, channels, mean, deviation,
                      chw.data() + c * count);
  }
}

}  // namespace nestvit

// Pillow's and TensorFlow's resize, in their own order of operations; and the exact rearrangements:
// crop, flip.
#include "image/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "image/per_isa.h"

namespace nestvit {
namespace {

bool inside(const Box& window, int64_t height, int64_t width) {
  return window.y >= 0 && window.x >= 0 && window.height > 0 && window.width > 0 &&
         window.height <= height - window.y && window.width <= width - window.x;
}

// --- Pillow ------------------------------------------------------------------------------------

// libImaging/Resample.c: 8 bits of result, 2 bits for overshoot.
constexpr int kPrecision = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kPrecision - 1);

double filter_weight(Interpolation interpolation, double x) {
  x = std::abs(x);
  if (interpolation == Interpolation::kBilinear) return x < 1.0 ? 1.0 - x : 0.0;
  constexpr double a = -0.5;  // OpenCV and torch tensors use -0.75
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// Which inputs make up each output along one axis: outputs [first, first + count) of `out`.
struct Taps {
  struct Range {
    int begin = 0;
    int count = 0;
  };
  std::vector<Range> ranges;     // per output
  std::vector<int32_t> weights;  // `stride` per output
  int stride = 0;

  const int32_t* of(int output) const { return &weights[static_cast<size_t>(output) * stride]; }
  void compute(int in, int64_t out, int first, int count, Interpolation interpolation);
};

void Taps::compute(int in, int64_t out, int first, int count, Interpolation interpolation) {
  if (in == out) {  // Pillow skips the pass
    stride = 1;
    weights.assign(static_cast<size_t>(count), 1 << kPrecision);
    ranges.clear();
    for (int i = 0; i < count; ++i) ranges.push_back({first + i, 1});
    return;
  }
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = (interpolation == Interpolation::kBilinear ? 1.0 : 2.0) * filter_scale;
  const double inverse = 1.0 / filter_scale;
  stride = std::min(static_cast<int>(std::ceil(support)) * 2 + 1, in);
  ranges.resize(static_cast<size_t>(count));
  weights.resize(static_cast<size_t>(count) * stride);
  thread_local std::vector<double> raw;
  raw.resize(static_cast<size_t>(stride));
  for (int i = 0; i < count; ++i) {
    const double centre = (static_cast<double>(first) + i + 0.5) * scale;
    const int begin = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + support + 0.5), in);
    double sum = 0.0;
    for (int x = begin; x < end; ++x) {
      const double w = filter_weight(interpolation, (x - centre + 0.5) * inverse);
      raw[x - begin] = w;
      sum += w;
    }
    int32_t* to = &weights[static_cast<size_t>(i) * stride];
    for (int k = 0; k < end - begin; ++k) {
      const double w = (sum != 0.0 ? raw[k] / sum : raw[k]) * (1 << kPrecision);
      to[k] = static_cast<int32_t>(w < 0 ? w - 0.5 : w + 0.5);
    }
    ranges[i] = {begin, end - begin};
  }
}

uint8_t rounded(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecision, 0, 255)); }

// One row: from [in][C] to [taps][C].
void horizontal_grey(const uint8_t* from, const Taps& taps, uint8_t* to) {
  const int32_t* weights = taps.weights.data();
  for (const auto& range : taps.ranges) {
    int32_t sum = kHalf;
    const uint8_t* p = from + range.begin;
    for (int k = 0; k < range.count; ++k) sum += p[k] * weights[k];
    *to++ = rounded(sum);
    weights += taps.stride;
  }
}

// Three sums side by side and an unused one: the byte after a pixel is read with it, so one must
// follow the last pixel of `from`.
NESTVIT_PER_ISA
void horizontal_rgb(const uint8_t* from, const Taps& taps, uint8_t* to) {
  using Sums = int32_t __attribute__((vector_size(16)));
  using Words = uint32_t __attribute__((vector_size(16)));
  const int32_t* weights = taps.weights.data();
  for (const auto& range : taps.ranges) {
    Sums sum = {kHalf, kHalf, kHalf, kHalf}, other = {};
    const uint8_t* p = from + static_cast<size_t>(range.begin) * 3;
    const auto pixel = [&](int k) {
      uint32_t word;
      std::memcpy(&word, p + static_cast<size_t>(k) * 3, sizeof word);
      const Words shifted = Words{word, word, word, word} >> Words{0, 8, 16, 24};
      return reinterpret_cast<Sums>(shifted & 255);
    };
    int k = 0;
    for (; k + 1 < range.count; k += 2) {
      sum += pixel(k) * weights[k];
      other += pixel(k + 1) * weights[k + 1];
    }
    if (k < range.count) sum += pixel(k) * weights[k];
    sum = (sum + other) >> kPrecision;
    sum = sum < 0 ? Sums{} : sum;
    sum = sum > 255 ? Sums{255, 255, 255, 255} : sum;
    for (int c = 0; c < 3; ++c) *to++ = static_cast<uint8_t>(sum[c]);
    weights += taps.stride;
  }
}

void horizontal_row(int channels, const uint8_t* from, const Taps& taps, uint8_t* to) {
  channels == 3 ? horizontal_rgb(from, taps, to) : horizontal_grey(from, taps, to);
}

// One output row as a weighted sum of `count` rows that lie `stride` bytes apart: the inner loop
// runs over pixels.
NESTVIT_PER_ISA
void vertical_row(const uint8_t* from, size_t stride, size_t length, const int32_t* weights,
                  int count, uint8_t* to) {
  constexpr size_t kPart = 256;  // whose sums stay in the nearest cache
  for (size_t first = 0; first < length; first += kPart) {
    const size_t part = std::min(kPart, length - first);
    int32_t sum[kPart];
    for (size_t i = 0; i < part; ++i) sum[i] = kHalf;
    for (int k = 0; k < count; ++k) {
      const uint8_t* row = from + k * stride + first;
      const int32_t weight = weights[k];
      for (size_t i = 0; i < part; ++i) sum[i] += row[i] * weight;
    }
    for (size_t i = 0; i < part; ++i) to[first + i] = rounded(sum[i]);
  }
}

// The passes round differently, so their order matters. Pillow 13 reversed it for tall images; this
// is its rule as found from its results (before, horizontal always came first).
bool vertical_first(const Image& image, const ResizeTarget& target) {
  const int64_t fewer_rows = image.height - target.height;
  const int64_t fewer_columns = image.width - target.width;
  return fewer_rows > 0 && fewer_rows > 2 * fewer_columns;
}

// All `ranges` together.
Taps::Range hull(const Taps& taps) {
  const int begin = taps.ranges.front().begin;
  return {begin, taps.ranges.back().begin + taps.ranges.back().count - begin};
}

void rows_then_columns(const Image& image, const Taps& lines, const Taps& columns, Image& result) {
  const size_t channels = static_cast<size_t>(image.channels);
  const auto used = hull(columns);
  const size_t length = used.count * channels;
  thread_local std::vector<uint8_t> padded;  // one row; only the used columns are filled
  padded.resize(image.width * channels + 1);
  for (int y = 0; y < result.height; ++y) {
    const auto range = lines.ranges[y];
    const uint8_t* from = image.pixels.data() +
                          (static_cast<size_t>(range.begin) * image.width + used.begin) * channels;
    vertical_row(from, image.width * channels, length, lines.of(y), range.count,
                 padded.data() + used.begin * channels);
    horizontal_row(image.channels, padded.data(), columns,
                   result.pixels.data() + y * (result.width * channels));
  }
}

void columns_then_rows(const Image& image, const Taps& columns, const Taps& lines, Image& result) {
  const size_t in_length = static_cast<size_t>(image.width) * image.channels;
  const size_t length = static_cast<size_t>(result.width) * image.channels;
  const auto used = hull(lines);
  thread_local std::vector<uint8_t> narrow, last;
  narrow.resize(length * used.count);
  for (int y = 0; y < used.count; ++y) {
    const uint8_t* from = image.pixels.data() + (used.begin + y) * in_length;
    if (used.begin + y == image.height - 1) {  // nothing follows in there
      last.assign(from, from + in_length);
      last.push_back(0);
      from = last.data();
    }
    horizontal_row(image.channels, from, columns, narrow.data() + y * length);
  }
  for (int y = 0; y < result.height; ++y) {
    const auto range = lines.ranges[y];
    vertical_row(narrow.data() + (range.begin - used.begin) * length, length, length, lines.of(y),
                 range.count, result.pixels.data() + y * length);
  }
}

// --- TensorFlow --------------------------------------------------------------------------------

struct Lerp {
  int low = 0;
  int high = 0;
  float fraction = 0;
};

void compute_lerps(int in, int64_t out, int first, int count, std::vector<Lerp>& lerps) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  lerps.resize(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const float x = (static_cast<float>(int64_t{first} + i) + 0.5f) * scale - 0.5f;
    const float floor = std::floor(x);
    lerps[i] = {std::clamp(static_cast<int>(floor), 0, in - 1),
                std::clamp(static_cast<int>(std::ceil(x)), 0, in - 1), x - floor};
  }
}

// Rows `y` of the source, resized horizontally; the last two are kept, since neighbouring outputs
// share them.
template <class T, class ToFloat>
class HorizontalRows {
 public:
  HorizontalRows(const T* from, int width, int channels, const std::vector<Lerp>& lerps,
                 ToFloat to_float)
      : from_(from), width_(width), channels_(channels), lerps_(lerps), to_float_(to_float) {}

  const float* row(int y) {
    for (int i = 0; i < 2; ++i)
      if (held_[i] == y) return rows_[latest_ = i].data();
    latest_ = 1 - latest_;
    held_[latest_] = y;
    auto& to = rows_[latest_];
    to.resize(lerps_.size() * channels_);
    const T* source = from_ + static_cast<size_t>(y) * width_ * channels_;
    size_t at = 0;
    for (const Lerp& lerp : lerps_)
      for (int c = 0; c < channels_; ++c) {
        const float low = to_float_(source[static_cast<size_t>(lerp.low) * channels_ + c]);
        const float high = to_float_(source[static_cast<size_t>(lerp.high) * channels_ + c]);
        to[at++] = low + (high - low) * lerp.fraction;
      }
    return to.data();
  }

 private:
  const T* from_;
  int width_;
  int channels_;
  const std::vector<Lerp>& lerps_;
  ToFloat to_float_;
  std::array<std::vector<float>, 2> rows_;
  std::array<int, 2> held_ = {-1, -1};
  int latest_ = 0;
};

struct Shape {
  int height = 0, width = 0, channels = 0;
};

template <class T, class ToFloat>
Pixels resize_bilinear(const T* from, Shape in, const ResizeTarget& target, float scale,
                       ToFloat to_float) {
  const Box& window = target.window;
  NESTVIT_CHECK(in.height > 0 && in.width > 0 && inside(window, target.height, target.width));
  thread_local std::vector<Lerp> columns, lines;
  compute_lerps(in.width, target.width, window.x, window.width, columns);
  compute_lerps(in.height, target.height, window.y, window.height, lines);
  HorizontalRows rows(from, in.width, in.channels, columns, to_float);
  const size_t length = static_cast<size_t>(window.width) * in.channels;
  Pixels result{window.height, window.width, in.channels,
                std::vector<float>(length * window.height)};
  float* to = result.values.data();
  for (const Lerp& line : lines) {
    const float* top = rows.row(line.low);
    const float* bottom = rows.row(line.high);
    for (size_t i = 0; i < length; ++i)
      to[i] = (top[i] + (bottom[i] - top[i]) * line.fraction) * scale;
    to += length;
  }
  return result;
}

}  // namespace

Image resize_pil(const Image& image, int height, int width, Interpolation interpolation) {
  return resize_pil(image, {height, width, {0, 0, height, width}}, interpolation);
}

Image resize_pil(const Image& image, const ResizeTarget& target, Interpolation interpolation) {
  const Box& window = target.window;
  NESTVIT_CHECK(image.height > 0 && image.width > 0 && inside(window, target.height, target.width));
  NESTVIT_CHECK(image.channels == 1 || image.channels == 3);
  Image result{window.height, window.width, image.channels, {}};
  result.pixels.resize(result.size());
  thread_local Taps columns, lines;
  // Along an axis that keeps its size the taps are single pixels of weight 1: exact, as Pillow's
  // skipped pass.
  columns.compute(image.width, target.width, window.x, window.width, interpolation);
  lines.compute(image.height, target.height, window.y, window.height, interpolation);
  if (vertical_first(image, target)) {
    rows_then_columns(image, lines, columns, result);
  } else {
    columns_then_rows(image, columns, lines, result);
  }
  return result;
}

Pixels resize_tf(const Pixels& image, int height, int width) {
  return resize_bilinear(image.values.data(), {image.height, image.width, image.channels},
                         {height, width, {0, 0, height, width}}, 1.0f, [](float v) { return v; });
}

Pixels resize_tf(const Image& image, const ResizeTarget& target) {
  static const auto unit = [] {
    std::array<float, 256> table{};
    for (int i = 0; i < 256; ++i) table[i] = static_cast<float>(i) / 255.0f;
    return table;
  }();
  return resize_bilinear(image.pixels.data(), {image.height, image.width, image.channels}, target,
                         255.0f, [](uint8_t v) { return unit[v]; });
}

Pixels to_pixels(const Image& image) {
  return {image.height, image.width, image.channels, {image.pixels.begin(), image.pixels.end()}};
}

namespace {

template <class T>
std::vector<T> cropped(const std::vector<T>& from, Shape shape, const Box& box) {
  NESTVIT_CHECK(inside(box, shape.height, shape.width));
  const size_t length = static_cast<size_t>(box.width) * shape.channels;
  std::vector<T> result(length * box.height);
  for (int y = 0; y < box.height; ++y) {
    const size_t at = (static_cast<size_t>(box.y + y) * shape.width + box.x) * shape.channels;
    std::copy_n(from.data() + at, length, result.data() + y * length);
  }
  return result;
}

template <class T>
std::vector<T> flipped(const std::vector<T>& from, Shape shape) {
  std::vector<T> result(from.size());
  T* to = result.data();
  for (int y = 0; y < shape.height; ++y)
    for (int x = shape.width - 1; x >= 0; --x)
      for (int c = 0; c < shape.channels; ++c)
        *to++ = from[(static_cast<size_t>(y) * shape.width + x) * shape.channels + c];
  return result;
}

}  // namespace

Pixels crop(const Pixels& image, const Box& box) {
  return {box.height, box.width, image.channels,
          cropped(image.values, {image.height, image.width, image.channels}, box)};
}

Image crop(const Image& image, const Box& box) {
  return {box.height, box.width, image.channels,
          cropped(image.pixels, {image.height, image.width, image.channels}, box)};
}

Image flip_horizontal(const Image& image) {
  return {image.height, image.width, image.channels,
          flipped(image.pixels, {image.height, image.width, image.channels})};
}

Pixels flip_horizontal(const Pixels& image) {
  return {image.height, image.width, image.channels,
          flipped(image.values, {image.height, image.width, image.channels})};
}

}  // namespace nestvit

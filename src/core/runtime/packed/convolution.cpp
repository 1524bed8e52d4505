// Weights of a convolution, ordered for the taps or transformed for Winograd's products.
#include "runtime/packed/convolution.h"

#include "kernels/dispatch.h"

namespace nestvit {
namespace {

const kernels::InferenceKernels& best() { return *kernels::inference_kernels().front(); }

// [C', C, 3, 3] -> [C', 9, C]: the plane's channels lie together.
std::vector<float> by_taps(std::span<const float> weight, int64_t out, int64_t in) {
  std::vector<float> ordered(weight.size());
  for (int64_t o = 0; o < out; ++o)
    for (int64_t t = 0; t < 9; ++t)
      for (int64_t i = 0; i < in; ++i) ordered[(o * 9 + t) * in + i] = weight[(o * in + i) * 9 + t];
  return ordered;
}

// y [4] = G x [3], `apart` values from each other.
void transform(const double* x, int64_t apart, double* y) {
  const double sum = x[0] + x[2 * apart];
  y[0] = x[0];
  y[1] = (sum + x[apart]) / 2;
  y[2] = (sum - x[apart]) / 2;
  y[3] = x[2 * apart];
}

// G g G^T of each 3 x 3: [C', C, 3, 3] -> [16, C', C]
std::vector<float> winograd_weights(std::span<const float> weight) {
  const size_t count = weight.size() / 9;
  std::vector<float> result(16 * count);
  for (size_t i = 0; i < count; ++i) {
    double g[9], half[3][4];  // half: of each column
    for (size_t j = 0; j < 9; ++j) g[j] = weight[9 * i + j];
    for (int x = 0; x < 3; ++x) transform(g + x, 3, half[x]);
    for (size_t y = 0; y < 4; ++y) {
      const double row[3] = {half[0][y], half[1][y], half[2][y]};
      double whole[4];
      transform(row, 1, whole);
      for (size_t x = 0; x < 4; ++x) result[(4 * y + x) * count + i] = static_cast<float>(whole[x]);
    }
  }
  return result;
}

}  // namespace

Convolution::Convolution(std::span<const float> weight, std::span<const float> bias, int64_t out,
                         int64_t size, NumberType precision)
    : in_(static_cast<int64_t>(weight.size()) / 9 / out),
      out_(out),
      size_(size),
      bias_(bias.begin(), bias.end()) {
  const int64_t whole = best().whole_channels;
  if (size % 2 == 0 && in_ % whole == 0 && out % whole == 0) {
    const std::vector<float> transformed = winograd_weights(weight);
    const auto each = static_cast<size_t>(out * in_);
    for (size_t i = 0; i < 16; ++i)
      products_.emplace_back(std::span(transformed).subspan(i * each, each),
                             std::span<const float>{}, out, precision);
    return;
  }
  std::vector<int64_t> taps;
  for (int64_t t = 0; t < 9; ++t) taps.push_back(t / 3 * (size + 2) + t % 3);
  taps_.emplace_back(by_taps(weight, out, in_), bias, out, precision, taps);
}

const float* Convolution::prepare_pixels(const float* x, int64_t count, float* scratch) const {
  return taps_.empty() ? x : taps_[0].prepare_rows(x, count, scratch);
}

int64_t Convolution::prepared_pixel_size() const {
  return taps_.empty() ? in_ : taps_[0].prepared_row_size();
}

int64_t Convolution::scratch_size() const {
  const int64_t tiles = size_ / 2;
  return taps_.empty() ? tiles * (16 * (in_ + out_) + products_.front().prepared_row_size()) : 0;
}

void Convolution::operator()(const float* plane, float* y, float* scratch) const {
  if (!taps_.empty()) return taps_[0]({.x = plane, .m = size_, .y = y, .ldy = out_});
  const int64_t tiles = size_ / 2;
  float* values = scratch;                         // [16, tiles, C]
  float* products = values + 16 * tiles * in_;     // [16, tiles, C']
  float* prepared = products + 16 * tiles * out_;  // the values of one of the 16 products
  best().winograd_in(plane, (size_ + 2) * in_, in_, tiles, values);
  for (int64_t i = 0; i < 16; ++i) {
    const Linear& product = products_[static_cast<size_t>(i)];
    product({.x = product.prepare_rows(values + i * tiles * in_, tiles, prepared),
             .m = tiles,
             .y = products + i * tiles * out_,
             .ldy = out_});
  }
  best().winograd_out(products, out_, tiles, bias_.data(), y, size_ * out_);
}

}  // namespace nestvit

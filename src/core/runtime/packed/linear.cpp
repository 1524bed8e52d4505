// Packs a weight for the kernels of its number type, and calls them.
#include "runtime/packed/linear.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "kernels/dispatch.h"

namespace nestvit {
namespace {

const kernels::InferenceKernels& best() { return *kernels::inference_kernels().front(); }
const kernels::Bf16Kernels& best_bf16() { return *kernels::bf16_kernels().front(); }
const kernels::Int8Kernels& best_int8() { return *kernels::int8_kernels().front(); }

constexpr int64_t kWidestInt8 = 1 << 16;  // a sum of as many 255 * 127 stays within 32 bits

// The number type of rows of `width` values: the kernels read them in whole 32-bit words.
NumberType allowed(NumberType wanted, int64_t width) {
  if (wanted == NumberType::kInt8 && width > kWidestInt8) return NumberType::kF32;
  const int64_t word = wanted == NumberType::kInt8 ? 4 : wanted == NumberType::kBf16 ? 2 : 1;
  return width % word == 0 ? wanted : NumberType::kF32;
}

// body(first column, columns) of each panel.
template <class Body>
void each_panel(int64_t n, int64_t panel, const Body& body) {
#pragma omp parallel for
  for (int64_t j = 0; j < n; j += panel) body(j, std::min(panel, n - j));
}

const uint32_t* words(const float* x) { return reinterpret_cast<const uint32_t*>(x); }
uint32_t* words(float* x) { return reinterpret_cast<uint32_t*>(x); }

}  // namespace

Linear::Linear(std::span<const float> weight, std::span<const float> bias, int64_t n,
               NumberType precision, std::vector<int64_t> taps)
    : n_(n),
      width_(static_cast<int64_t>(weight.size()) / n / static_cast<int64_t>(taps.size())),
      precision_(allowed(precision, width_)),
      taps_(std::move(taps)) {
  NESTVIT_CHECK(weight.size() == static_cast<size_t>(n * width_) * taps_.size());
  switch (precision_) {
    case NumberType::kF32:
      pack_f32(weight.data());
      break;
    case NumberType::kBf16:
      pack_bf16(weight.data());
      break;
    case NumberType::kInt8:
      pack_int8(weight.data());
      break;
  }
  std::fill_n(bias_, columns_, 0.0f);
  std::copy(bias.begin(), bias.end(), bias_);
}

void Linear::reserve(int64_t panels, int64_t per_column) {
  panels_ = memory_.reserve(panels + (per_column + 1) * columns_);
  extra_ = panels_ + panels;
  bias_ = extra_ + per_column * columns_;
}

void Linear::pack_f32(const float* weight) {
  const int64_t k = width_ * static_cast<int64_t>(taps_.size());
  columns_ = kernels::packed_columns(best(), n_);
  reserve(columns_ * k, 0);
  each_panel(n_, best().panel, [&](int64_t j, int64_t columns) {
    best().pack(weight + j * k, columns, k, panels_ + j * k);
  });
  for (int64_t& tap : taps_) tap *= width_;
}

void Linear::pack_bf16(const float* weight) {
  const int64_t k = width_ * static_cast<int64_t>(taps_.size());
  columns_ = (n_ + kernels::kRightPanel - 1) / kernels::kRightPanel * kernels::kRightPanel;
  reserve(columns_ * k / 2, 0);
  each_panel(n_, kernels::kRightPanel, [&](int64_t j, int64_t columns) {
    best_bf16().pack_right({weight + j * k, true}, k, columns, words(panels_ + j * k / 2));
  });
  for (int64_t& tap : taps_) tap *= width_ / 2;
}

void Linear::pack_int8(const float* weight) {
  const auto taps = static_cast<int64_t>(taps_.size());
  const int64_t k = width_ * taps;
  columns_ = (n_ + kernels::kInt8Panel - 1) / kernels::kInt8Panel * kernels::kInt8Panel;
  reserve(columns_ * k / 4, taps + 1);
  each_panel(n_, kernels::kInt8Panel, [&](int64_t j, int64_t columns) {
    kernels::int8_pack(weight + j * k, columns, taps, width_, columns_, words(panels_ + j * k / 4),
                       reinterpret_cast<int32_t*>(extra_) + j, extra_ + taps * columns_ + j);
  });
}

int64_t Linear::prepared_row_size() const {
  switch (precision_) {
    case NumberType::kBf16:
      return width_ / 2;
    case NumberType::kInt8:
      return kernels::int8_row_words(width_);
    default:
      return width_;
  }
}

const float* Linear::prepare_rows(const float* x, int64_t count, float* scratch) const {
  switch (precision_) {
    case NumberType::kBf16:
      best_bf16().round(x, count * width_ / 2, words(scratch));
      return scratch;
    case NumberType::kInt8:
      best_int8().round(x, count, width_, words(scratch));
      return scratch;
    default:
      return x;
  }
}

kernels::Gemm Linear::f32_gemm(const Call& call) const {
  return {.a = call.x,
          .lda = width_,
          .taps = taps_.data(),
          .tap_count = std::ssize(taps_),
          .width = width_,
          .weight = panels_,
          .bias = bias_,
          .m = call.m,
          .n = call.columns ? call.columns : n_,
          .add = call.add,
          .c = call.y,
          .ldc = call.ldy};
}

void Linear::operator()(const Call& call) const {
  const int64_t taps = std::ssize(taps_);
  switch (precision_) {
    case NumberType::kF32:
      return best().gemm(f32_gemm(call));
    case NumberType::kBf16:
      return best_bf16().gemm_rows({.a = words(call.x),
                                    .lda = width_ / 2,
                                    .taps = taps_.data(),
                                    .tap_count = taps,
                                    .width = width_ / 2,
                                    .weight = words(panels_),
                                    .bias = bias_,
                                    .m = call.m,
                                    .n = n_,
                                    .add = call.add,
                                    .c = call.y,
                                    .ldc = call.ldy});
    case NumberType::kInt8:
      return best_int8().gemm({.a = words(call.x),
                               .taps = taps_.data(),
                               .tap_count = taps,
                               .width = width_,
                               .weight = words(panels_),
                               .offsets = reinterpret_cast<const int32_t*>(extra_),
                               .scales = extra_ + taps * columns_,
                               .bias = bias_,
                               .m = call.m,
                               .n = n_,
                               .add = call.add,
                               .c = call.y,
                               .ldc = call.ldy});
  }
}

void Linear::strassen(const Call& call, float* scratch) const {
  if (precision_ == NumberType::kF32) return best().strassen(f32_gemm(call), scratch);
  Call prepared = call;
  prepared.x = prepare_rows(call.x, call.m, scratch);
  (*this)(prepared);
}

int64_t Linear::scratch_size(int64_t m) const {
  if (precision_ == NumberType::kF32) return best().strassen_scratch(m, width_);
  return m * prepared_row_size();
}

}  // namespace nestvit

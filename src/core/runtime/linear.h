// A linear layer of the fast forward, in any precision.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/buffer.h"
#include "runtime/precision.h"

namespace nestvit {

// y [m, n] = x [m, k] W^T + b, on the calling thread; its weight in panels of the kernels'.
class Linear {
 public:
  // `taps`: which rows of x, from a row on, make a row of the product; {0} for a linear layer.
  // Stays f32 where the width of a row is odd (bf16), not a multiple of 4 or beyond 2^16 (int8).
  // Packs with the calling thread's OpenMP team.
  Linear(std::span<const float> weight, std::span<const float> bias, int64_t n,
         NumberType precision = NumberType::kF32, std::vector<int64_t> taps = {0});

  // x [count, width] as operator() reads it: itself, or rounded into `memory` of count *
  // prepared_row_size() floats.
  const float* prepare_rows(const float* x, int64_t count, float* memory) const;
  int64_t prepared_row_size() const;
  // Rows of y are `ldc` apart. With `add`, y += x W^T + b.
  void operator()(const float* rows, int64_t m, float* y, int64_t ldc, bool add = false) const;

  // Both for one tap, with `memory` of scratch_size(m) floats. f32 goes by Strassen's products:
  // what a value is made of depends on the other rows of its four.
  void strassen(const float* x, int64_t m, float* memory, float* y, int64_t ldc,
                bool add = false) const;
  int64_t scratch_size(int64_t m) const;
  NumberType precision() const { return precision_; }

 private:
  void pack_f32(const float* weight);
  void pack_bf16(const float* weight);
  void pack_int8(const float* weight);
  // Room for the panels, what else belongs to a column, and the bias.
  void reserve(int64_t panels, int64_t per_column);

  int64_t n_, width_;
  NumberType precision_;
  std::vector<int64_t> taps_;  // as the kernels count them
  int64_t columns_ = 0;        // n in whole panels
  Buffer memory_;
  float *panels_ = nullptr, *bias_ = nullptr;
  float* extra_ = nullptr;  // int8: offsets [taps, columns], then scales [columns]
};

}  // namespace nestvit

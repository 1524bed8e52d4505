// A linear layer in f32, bf16 or int8, its weight packed once.
#pragma once

#include <nestvit/number_type.h>

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/inference.h"
#include "runtime/buffer.h"

namespace nestvit {

// y [m, n] = x [m, k] W^T + b, on the calling thread. The weight lies in the panels that the
// kernels read.
class Linear {
 public:
  struct Call {
    const float* x;  // m rows
    int64_t m;
    float* y;  // m rows, `ldy` floats apart
    int64_t ldy;
    bool add = false;     // y += x W^T + b
    int64_t columns = 0;  // f32: the first as many of y alone; 0: all
  };

  // `taps`: the rows of x, counted from a row on, that together make a row of the product; {0} for
  // a linear layer. The layer stays f32 where the width of a row is odd (bf16), not a multiple of 4
  // or beyond 2^16 (int8). Packs with the calling thread's OpenMP team.
  Linear(std::span<const float> weight, std::span<const float> bias, int64_t n,
         NumberType precision = NumberType::kF32, std::vector<int64_t> taps = {0});

  // x [count, width] as operator() reads it: x itself, or x rounded into `scratch`, which has room
  // for count * prepared_row_size() floats.
  const float* prepare_rows(const float* x, int64_t count, float* scratch) const;
  int64_t prepared_row_size() const;
  // call.x comes from prepare_rows().
  void operator()(const Call& call) const;

  // Both for one tap and any x, with scratch_size(call.m) floats of scratch. f32 uses Strassen on
  // groups of four rows; the rounding of a result depends on its group.
  void strassen(const Call& call, float* scratch) const;
  int64_t scratch_size(int64_t m) const;
  NumberType precision() const { return precision_; }

 private:
  void pack_f32(const float* weight);
  void pack_bf16(const float* weight);
  void pack_int8(const float* weight);
  // Makes room for the panels, for `per_column` values of each column, and for the bias.
  void reserve(int64_t panels, int64_t per_column);
  kernels::Gemm f32_gemm(const Call& call) const;

  int64_t n_, width_;
  NumberType precision_;
  std::vector<int64_t> taps_;  // as the kernels count them
  int64_t columns_ = 0;        // n in whole panels
  Buffer memory_;
  float *panels_ = nullptr, *bias_ = nullptr;
  float* extra_ = nullptr;  // int8: offsets [taps, columns], then scales [columns]
};

}  // namespace nestvit

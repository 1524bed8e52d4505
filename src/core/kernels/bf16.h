// Matrix products in mixed precision: f32 operands are rounded to bf16 (nearest, ties to even),
// sums are f32. Each call works on one thread.
//
// A packed operand is in panels of kLeftPanel rows (left) or kRightPanel columns (right), padded
// with zeros: [panels][(k + 1) / 2][panel] pairs of bf16. A pair is two neighbours along k in one
// uint32_t, the first in the low half; one instruction of AVX512_BF16 multiplies and adds 16 pairs.
#pragma once

#include <cstdint>

#include "kernels/training.h"

namespace nestvit::kernels {

constexpr int64_t kLeftPanel = 16, kRightPanel = 48;

// A row-major, dense matrix, or the transpose of one.
struct Operand {
  const float* data;
  bool transposed = false;
};

// Gemm of inference.h for rows from round(); `lda`, `taps` and `width` count pairs.
struct Bf16GemmRows {
  const uint32_t* a;
  int64_t lda;
  const int64_t* taps;
  int64_t tap_count, width;
  const uint32_t* weight;  // W^T from pack_right()
  const float* bias;       // [n], readable up to whole panels
  int64_t m, n;
  bool add;
  float* c;
  int64_t ldc;
};

struct Bf16Kernels {
  const char* name;  // of the instruction set

  // a [m, k] and b [k, n] into bf16_left_size(m, k) and bf16_right_size(k, n) values.
  void (*pack_left)(Operand a, int64_t m, int64_t k, uint32_t* packed);
  void (*pack_right)(Operand b, int64_t k, int64_t n, uint32_t* packed);
  // x [2 * pairs] -> packed [pairs]
  void (*round)(const float* x, int64_t pairs, uint32_t* packed);
  void (*gemm_rows)(const Bf16GemmRows& p);
  // InferenceKernels::attend with q, k, v and the softmax's weights rounded to bf16; the softmax
  // itself is f32.
  void (*attend)(const AttentionShape& shape, const float* q, int64_t queries, const float* k,
                 const float* v, float* out, float* scratch);
  // c [m, n] = a b or, with `add`, c += a b; a is from pack_left(), b from pack_right(), c is
  // row-major and dense.
  void (*gemm)(const uint32_t* a, const uint32_t* b, int64_t m, int64_t n, int64_t k, bool add,
               float* c);
};

static constexpr int64_t bf16_left_size(int64_t m, int64_t k) {
  return (m + kLeftPanel - 1) / kLeftPanel * kLeftPanel * ((k + 1) / 2);
}
static constexpr int64_t bf16_right_size(int64_t k, int64_t n) {
  return (n + kRightPanel - 1) / kRightPanel * kRightPanel * ((k + 1) / 2);
}

}  // namespace nestvit::kernels

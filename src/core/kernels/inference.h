// The loops of a forward pass without gradients, compiled once per instruction set. Each call works
// on one thread; all arrays are f32 and row-major, a "leading dimension" (ld) being the distance
// between rows. Reference.md A says what they compute; tests hold every set against double
// precision.
#pragma once

#include <cstdint>

#include "kernels/training.h"

namespace nestvit::kernels {

// c[i, j] = bias[j] + sum over taps t and p < width of a[i * lda + taps[t] + p] * W[j, t * width +
// p], added to what c holds when `add` is set. A linear layer has one tap, at 0; a 3 x 3
// convolution over a plane with a border has nine, and its rows are the pixels of a row of the
// plane. What a value of c is made of, and in which order, does not depend on m, n or its place.
struct Gemm {
  const float* a;
  int64_t lda;
  const int64_t* taps;
  int64_t tap_count, width;
  const float* weight;  // by pack()
  const float* bias;    // [n], with room for whole panels
  int64_t m, n;
  bool add;
  float* c;
  int64_t ldc;
};

struct InferenceKernels {
  const char* name;  // of the instruction set
  int64_t panel;     // columns that are packed together

  // One panel: W [n, k] of at most `panel` rows into k * panel floats, at a cache line's border.
  // The panels of a weight lie one after the other.
  void (*pack)(const float* weight, int64_t n, int64_t k, float* packed);
  void (*gemm)(const Gemm& p);

  // The same of one tap, by Strassen's seven products instead of eight: up to 1.1 times as fast,
  // about twice the rounding, and bounded by the largest sizes in a and W rather than by a value's
  // own terms (kernels/strassen.h). What a value is made of depends on the other rows of its four,
  // counted from a, and on nothing else. Widths whose halves do not fill registers, and other sets
  // than AVX-512's, are left to gemm(). Scratch: strassen_scratch(m, width) floats.
  void (*strassen)(const Gemm& p, float* scratch);
  int64_t (*strassen_scratch)(int64_t m, int64_t width);

  // As in TrainingKernels.
  void (*layer_norm)(const float* x, int64_t rows, int64_t C, const float* gamma, const float* beta,
                     float eps, float* y);
  // x[r, c] = gelu(x[r, c]) in place, by its tanh form or exactly.
  void (*gelu)(float* x, int64_t rows, int64_t C, bool tanh);
  // The same to 1.7e-4, beyond 4 to 4.3e-5 of x, in less time: for what is then rounded to bf16 or
  // int8.
  void (*gelu_approx)(float* x, int64_t rows, int64_t C, bool tanh);
  // Attention of some of a block's tokens: as TrainingKernels::attention, but of `queries` rows of
  // q and of out, with the keys and values of all shape.tokens.
  void (*attend)(const AttentionShape& shape, const float* q, int64_t queries, const float* k,
                 const float* v, float* out, float* scratch);
  // y[x, c] for `count` neighbours of row oy of the 3 x 3 max-pool of stride 2, from column ox on;
  // the window of (oy, ox) starts at (2 oy - pad, 2 ox - pad) of map [size, size, C], and what lies
  // outside counts as -infinity.
  void (*max_pool)(const float* map, int64_t size, int64_t C, int64_t pad, int64_t oy, int64_t ox,
                   int64_t count, float* y);

  // Winograd's F(2 x 2, 3 x 3) for `tiles` of 4 x 4 pixels beside each other, two apart, of a plane
  // whose rows are `row` floats apart: v [16, tiles, C] <- B^T d B of each tile and channel, and
  // y <- A^T m A + bias of m [16, tiles, C], two rows of 2 tiles pixels. C is a multiple of
  // whole_channels.
  int64_t whole_channels;
  void (*winograd_in)(const float* plane, int64_t row, int64_t C, int64_t tiles, float* v);
  void (*winograd_out)(const float* m, int64_t C, int64_t tiles, const float* bias, float* y,
                       int64_t row);
};

static inline int64_t packed_columns(const InferenceKernels& kernels, int64_t n) {
  return (n + kernels.panel - 1) / kernels.panel * kernels.panel;
}
static inline int64_t packed_size(const InferenceKernels& kernels, int64_t n, int64_t k) {
  return packed_columns(kernels, n) * k;
}
constexpr int64_t kQueryRows = 32;  // whose scores attend() keeps in the first-level cache
// Floats of the scratch of attend(), here and in Bf16Kernels: impl/attention.h, Work.
static constexpr int64_t attend_scratch(const AttentionShape& shape) {
  const int64_t n = shape.tokens, d = shape.head_dim;
  const int64_t np = n + kWidestLanes, dp = d + kWidestLanes;
  return kQueryRows * (np + dp) + np + d * np + n * dp;
}

}  // namespace nestvit::kernels

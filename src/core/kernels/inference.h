// The loops of a forward pass without gradients, compiled once per instruction set. Each call works
// on one thread. All arrays are f32 and row-major; a leading dimension (ld) is the distance between
// rows. Reference.md A has the formulas; tests compare every set with double precision.
#pragma once

#include <cstdint>

#include "kernels/training.h"

namespace nestvit::kernels {

// c[i, j] = bias[j] + sum over taps t and p < width of a[i * lda + taps[t] + p] * W[j, t * width +
// p]; with `add`, c[i, j] += that. A linear layer has one tap, at 0. A 3 x 3 convolution over a
// plane with a border has nine, and its rows are the pixels of a row of the plane. Each c[i, j] is
// accumulated in the same order for any m, n and position: results are bit-stable.
struct Gemm {
  const float* a;
  int64_t lda;
  const int64_t* taps;
  int64_t tap_count, width;
  const float* weight;  // from pack()
  const float* bias;    // [n], readable up to whole panels
  int64_t m, n;
  bool add;
  float* c;
  int64_t ldc;
};

struct InferenceKernels {
  const char* name;  // of the instruction set
  int64_t panel;     // columns of c that are packed together

  // Packs W [n, k], n <= panel, into k * panel floats that begin on a cache line. The panels of a
  // weight lie one after the other.
  void (*pack)(const float* weight, int64_t n, int64_t k, float* packed);
  void (*gemm)(const Gemm& p);

  // gemm() of one tap by Strassen's seven products instead of eight (impl/strassen.h): up to 1.1
  // times as fast. The rounding error is about twice as large and grows with the largest values in
  // a and W, not with the terms of the sum. A result's rounding depends on its group of four rows,
  // counted from a, and on nothing else. Calls gemm() for a width whose halves do not fill
  // registers and in sets other than AVX-512's. `scratch` has strassen_scratch(m, width) floats.
  void (*strassen)(const Gemm& p, float* scratch);
  int64_t (*strassen_scratch)(int64_t m, int64_t width);

  // As in TrainingKernels.
  void (*layer_norm)(const float* x, int64_t rows, int64_t C, const float* gamma, const float* beta,
                     float eps, float* y);
  // x[r, c] = gelu(x[r, c]) in place, in the tanh form or exactly.
  void (*gelu)(float* x, int64_t rows, int64_t C, bool tanh);
  // A faster gelu() for values that are rounded to bf16 or int8 next: off by at most 1.7e-4, and
  // for |x| > 4 by at most 4.3e-5 |x|.
  void (*gelu_approx)(float* x, int64_t rows, int64_t C, bool tanh);
  // dy[r, c] *= gelu(h[r, c]) / h[r, c], the share of its input that GELU lets through; 1/2 at 0.
  void (*gelu_gate)(const float* h, int64_t rows, int64_t C, bool tanh, float* dy);
  // TrainingKernels::attention for some tokens of a block: q and out have `queries` rows, k and v
  // have shape.tokens. `scratch` has attend_scratch() floats.
  void (*attend)(const AttentionShape& shape, const float* q, int64_t queries, const float* k,
                 const float* v, float* out, float* scratch);
  // Pixels [ox, ox + count) of row oy of the 3 x 3 max-pool of stride 2: y [count, C]. The window
  // of (oy, ox) begins at (2 oy - pad, 2 ox - pad) of map [size, size, C]; pixels outside the map
  // count as -infinity.
  void (*max_pool)(const float* map, int64_t size, int64_t C, int64_t pad, int64_t oy, int64_t ox,
                   int64_t count, float* y);

  // Winograd's F(2 x 2, 3 x 3). The `tiles` of 4 x 4 pixels lie side by side, each 2 pixels right
  // of the one before, in a plane whose rows are `row` floats apart. winograd_in: v [16, tiles, C]
  // = B^T d B of each tile and channel. winograd_out: y = A^T m A + bias of m [16, tiles, C], two
  // rows of 2 * tiles pixels. C is a multiple of whole_channels.
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
constexpr int64_t kQueryRows = 32;  // queries whose scores fit in the first-level cache
// Floats of the scratch of attend(), here and in Bf16Kernels: impl/attention.h, Work.
static constexpr int64_t attend_scratch(const AttentionShape& shape) {
  const int64_t n = shape.tokens, d = shape.head_dim;
  const int64_t np = n + kWidestLanes, dp = d + kWidestLanes;
  return kQueryRows * (np + dp) + np + d * np + n * dp;
}

}  // namespace nestvit::kernels

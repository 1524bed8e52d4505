// Attention inside a block for training, forward and backward.
#pragma once

#include "kernels/impl/math.h"
#include "kernels/impl/simd.h"
#include "kernels/impl/small_gemm.h"
#include "kernels/training.h"

namespace nestvit::kernels {
namespace {

// The scratch of one head. Columns beyond N or D up to the next multiple of kLanes are padding.
struct Scratch {
  int64_t np, dp;     // N and D, padded
  float* p;           // [N, np] weights
  float* ds;          // [N, np] their gradient
  float* transposed;  // [D, np] k^T or v^T
  float* copy;        // [N, dp], used by columns() if D is not a multiple of kLanes

  Scratch(const AttentionShape& s, float* memory)
      : np(padded(s.tokens)),
        dp(padded(s.head_dim)),
        p(memory),
        ds(p + s.tokens * np),
        transposed(ds + s.tokens * np),
        copy(transposed + s.head_dim * np) {}
};

// x [N, D] as a matrix that can be read in whole registers: itself, or a padded copy.
ConstMatrix columns(const float* x, int64_t ld, int64_t N, int64_t D, int64_t dp, float* copy) {
  if (D == dp) return {x, ld};
  for (int64_t n = 0; n < N; ++n)
    for (int64_t d = 0; d < dp; ++d) copy[n * dp + d] = d < D ? x[n * ld + d] : 0;
  return {copy, dp};
}

// np itself, but the compiler can see that it is a multiple of kLanes and makes no remainder loops.
inline int64_t whole_registers(int64_t np) { return np / kLanes * kLanes; }

// 2^r on [-1/2, 1/2]: the best polynomial of its degree with 2^0 = 1.
inline Vec power_of_fraction(Vec r) {
  Vec p = 1.32646667e-3f * r + 9.67151265e-3f;
  p = p * r + 5.55073389e-2f;
  p = p * r + 2.40222421e-1f;
  p = p * r + 6.93146978e-1f;
  return p * r + 1.0f;
}

// 2^t for t <= 0 within 3 units in the last place; 2^-125 for t < -125.
inline Vec power_of_two(Vec t) {
  typedef int32_t Ints __attribute__((vector_size(sizeof(float) * kLanes)));
  t = larger(t, Vec{} - 125.0f);
  const Vec rounded = t + 12582912.0f;  // leaves round(t) in the low bits, as in exp_poly
  const Vec p = power_of_fraction(t - (rounded - 12582912.0f));
  return (Vec)((Ints)p + ((Ints)rounded << 23));
}

// x [np] = e^(scale (x - largest)). Columns from N on are padding and become about 0. Returns
// 1 / sum. `np` comes from whole_registers().
inline float exponentials(float* x, int64_t N, int64_t np, float scale) {
  for (int64_t c = N; c < np; ++c) x[c] = -1e30f;
  Vec row_max = load(x), sums{};
  for (int64_t c = kLanes; c < np; c += kLanes) row_max = larger(row_max, load(x + c));
  const float largest = largest_of(row_max);
  const float factor = scale * 1.44269504f;
  for (int64_t c = 0; c < np; c += kLanes) {
    const Vec value = power_of_two(factor * (load(x + c) - largest));
    sums += value;
    store(value, x + c);
  }
  return 1.0f / sum_of(sums);
}

// s.p = softmax(scale * q k^T). Its padding columns are not used.
void weights(const AttentionShape& shape, const float* q, const float* k, float scale,
             const Scratch& s) {
  const int64_t N = shape.tokens, D = shape.head_dim, np = whole_registers(s.np);
  transpose(k, shape.ld, N, D, s.np, s.transposed);
  small_gemm({q, shape.ld, 1}, {s.transposed, s.np}, N, s.np, D, {s.p, s.np});
  for (int64_t r = 0; r < N; ++r) {
    float* x = s.p + r * s.np;
    const float inverse = exponentials(x, N, np, scale);
#pragma omp simd
    for (int64_t c = 0; c < np; ++c) x[c] *= inverse;
  }
}

void attention(const AttentionShape& shape, const float* q, const float* k, const float* v,
               float* out, float* scratch) {
  const int64_t N = shape.tokens, D = shape.head_dim;
  const Scratch s(shape, scratch);
  const float scale = inverse_sqrt(static_cast<float>(D));
  for (int64_t h = 0; h < shape.heads; ++h) {
    const int64_t at = h * D, kv = shape.kv_heads == 1 ? 0 : at;
    weights(shape, q + at, k + kv, scale, s);
    small_gemm({s.p, s.np, 1}, columns(v + kv, shape.ld, N, D, s.dp, s.copy), N, D, N,
               {out + at, shape.ld_out});
  }
}

// ds = scale * p (ds - sum(p ds)) for each row.
void softmax_backward(const Scratch& s, int64_t N, float scale) {
  const int64_t np = whole_registers(s.np);  // ds is 0 in the padding
  for (int64_t r = 0; r < N; ++r) {
    const float* p = s.p + r * s.np;
    float* ds = s.ds + r * s.np;
    Vec dots{};
    for (int64_t c = 0; c < np; c += kLanes) dots += load(p + c) * load(ds + c);
    const float dot = sum_of(dots);
#pragma omp simd
    for (int64_t c = 0; c < np; ++c) ds[c] = scale * p[c] * (ds[c] - dot);
  }
}

void attention_backward(const AttentionShape& shape, const float* q, const float* k, const float* v,
                        const float* dout, float* dq, float* dk, float* dv, float* scratch) {
  const int64_t N = shape.tokens, D = shape.head_dim, ld = shape.ld;
  const Scratch s(shape, scratch);
  const float scale = inverse_sqrt(static_cast<float>(D));
  for (int64_t h = 0; h < shape.heads; ++h) {
    const int64_t at = h * D, kv = shape.kv_heads == 1 ? 0 : at;
    const bool add = shape.kv_heads == 1 && h > 0;
    const Strided p_transposed{s.p, 1, s.np};
    const Strided ds{s.ds, s.np, 1}, ds_transposed{s.ds, 1, s.np};
    weights(shape, q + at, k + kv, scale, s);
    small_gemm(p_transposed, columns(dout + at, shape.ld_out, N, D, s.dp, s.copy), N, D, N,
               {dv + kv, ld}, add);
    if (!dq) continue;
    transpose(v + kv, ld, N, D, s.np, s.transposed);
    small_gemm({dout + at, shape.ld_out, 1}, {s.transposed, s.np}, N, s.np, D, {s.ds, s.np});
    softmax_backward(s, N, scale);
    small_gemm(ds, columns(k + kv, ld, N, D, s.dp, s.copy), N, D, N, {dq + at, ld});
    small_gemm(ds_transposed, columns(q + at, ld, N, D, s.dp, s.copy), N, D, N, {dk + kv, ld}, add);
  }
}

}  // namespace
}  // namespace nestvit::kernels

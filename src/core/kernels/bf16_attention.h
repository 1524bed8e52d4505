// Attention inside a block whose two products are in mixed precision; softmax is f32. Part of
// bf16_avx512.cpp: in an unnamed namespace and free of the standard library.
#pragma once

#include "kernels/avx512_tile.h"
#include "kernels/bf16.h"
#include "kernels/bf16_pairs.h"

namespace nestvit::kernels {
namespace {

// c [rows, columns] = a b for pairs a [rows, pairs] and b [pairs, kVecs registers].
template <int kRows, int kVecs>
inline void pair_tile(const uint32_t* a, int64_t lda, const uint32_t* b, int64_t ldb, int64_t pairs,
                      const Target& c) {
  __m512 sum[kRows][kVecs];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < kVecs; ++j) sum[i][j] = _mm512_setzero_ps();
  for (int64_t q = 0; q < pairs; ++q) multiply(sum, a + q, lda, b + q * ldb);
  store_tile(sum, kRows, c);
}

template <int kVecs>
inline void pair_panel(const uint32_t* a, int64_t lda, int64_t rows, const uint32_t* b, int64_t ldb,
                       int64_t pairs, const Target& c) {
  const auto at = [&](int64_t i) { return Target{c.c + i * c.ld, c.ld, c.columns, false}; };
  int64_t i = 0;
  for (; i + kTileHeight <= rows; i += kTileHeight)
    pair_tile<kTileHeight, kVecs>(a + i * lda, lda, b, ldb, pairs, at(i));
  for (; i + 4 <= rows; i += 4) pair_tile<4, kVecs>(a + i * lda, lda, b, ldb, pairs, at(i));
  for (; i < rows; ++i) pair_tile<1, kVecs>(a + i * lda, lda, b, ldb, pairs, at(i));
}

// b can be read in whole registers.
inline void pair_product(const uint32_t* a, int64_t lda, int64_t rows, const uint32_t* b,
                         int64_t ldb, int64_t pairs, float* c, int64_t ldc, int64_t columns) {
  for (int64_t j = 0; j < columns; j += kTileColumns) {
    const Target to{c + j, ldc, columns - j, false};
    if (to.columns > 2 * kLanes)
      pair_panel<3>(a, lda, rows, b + j, ldb, pairs, to);
    else if (to.columns > kLanes)
      pair_panel<2>(a, lda, rows, b + j, ldb, pairs, to);
    else
      pair_panel<1>(a, lda, rows, b + j, ldb, pairs, to);
  }
}

// x [N, D] -> pairs of neighbours in a row, turned: [(D + 1) / 2, np].
void turn_keys(const float* x, int64_t ld, int64_t N, int64_t D, int64_t np, uint32_t* packed) {
  for (int64_t n = 0; n < N; n += kLanes)
    for (int64_t d = 0; d < D; d += 2 * kLanes)
      turn_pairs(x + n * ld + d, N - n < kLanes ? N - n : kLanes, ld, D - d, np,
                 packed + d / 2 * np + n);
}

// x [N, D] -> pairs of neighbours in a column: [(N + 1) / 2, dp].
void pair_tokens(const float* x, int64_t ld, int64_t N, int64_t D, int64_t dp, uint32_t* packed) {
  for (int64_t n = 0; n < N; n += 2, packed += dp)
    for (int64_t d = 0; d < D; d += kLanes) {
      const __mmask16 there = first(D - d);
      const float* row = x + n * ld + d;
      const __m512 high = _mm512_maskz_loadu_ps(n + 1 < N ? there : __mmask16{0}, row + ld);
      _mm512_storeu_si512(packed + d, pairs_of(_mm512_maskz_loadu_ps(there, row), high));
    }
}

// 2^t for t <= 0 to 1e-4 of it, a twentieth of what rounding to bf16 then adds: the best cubic on
// [-1/2, 1/2] with 2^0 = 1.
inline __m512 power_of_two(__m512 t) {
  const __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(t, whole);
  __m512 p = _mm512_set1_ps(0.05500843f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.24221076f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.69328296f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, whole);
}

// pairs <- 2^(factor (x - largest)) of x [N]; returns 1 / sum. `pairs` has room for whole
// registers.
inline float weigh(const float* x, int64_t N, float factor, uint32_t* pairs) {
  const __m512 least = _mm512_set1_ps(-1e30f);
  const auto part = [&](int64_t n) { return _mm512_mask_loadu_ps(least, first(N - n), x + n); };
  __m512 top = least;
  for (int64_t n = 0; n < N; n += kLanes) top = _mm512_max_ps(top, part(n));
  const __m512 f = _mm512_set1_ps(factor);
  const __m512 largest = _mm512_set1_ps(factor * largest_of(static_cast<Vec>(top)));
  __m512 sum = _mm512_setzero_ps();
  for (int64_t n = 0; n < N; n += 2 * kLanes, pairs += kLanes) {
    const __m512 low = power_of_two(_mm512_fmsub_ps(part(n), f, largest));
    const __m512 high = power_of_two(_mm512_fmsub_ps(part(n + kLanes), f, largest));
    sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
    _mm512_storeu_si512(pairs, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
  }
  return 1 / sum_of(static_cast<Vec>(sum));
}

void attend(const AttentionShape& s, const float* q, int64_t queries, const float* k,
            const float* v, float* out, float* scratch) {
  const int64_t N = s.tokens, D = s.head_dim, np = padded(N), dp = padded(D);
  const int64_t d_pairs = (D + 1) / 2, q_row = padded(d_pairs), w_row = padded((N + 1) / 2);
  float* scores = scratch;                                                  // [kBf16Queries, np]
  auto* weights = reinterpret_cast<uint32_t*>(scores + kBf16Queries * np);  // [.., w_row]
  uint32_t *rows = weights + kBf16Queries * w_row, *keys = rows + kBf16Queries * q_row,
           *values = keys + d_pairs * np;
  const float factor = 1.44269504f * inverse_sqrt(static_cast<float>(D));
  for (int64_t h = 0; h < s.heads; ++h) {
    if (h == 0 || s.kv_heads > 1) {
      turn_keys(k + h * D, s.ld, N, D, np, keys);
      pair_tokens(v + h * D, s.ld, N, D, dp, values);
    }
    for (int64_t r = 0; r < queries; r += kBf16Queries) {
      const int64_t count = queries - r < kBf16Queries ? queries - r : kBf16Queries;
      for (int64_t i = 0; i < count; ++i)
        round_row(q + (r + i) * s.ld + h * D, D, rows + i * q_row);
      pair_product(rows, q_row, count, keys, np, d_pairs, scores, np, N);
      float inverse[kBf16Queries];
      for (int64_t i = 0; i < count; ++i)
        inverse[i] = weigh(scores + i * np, N, factor, weights + i * w_row);
      float* to = out + r * s.ld_out + h * D;
      pair_product(weights, w_row, count, values, dp, (N + 1) / 2, to, s.ld_out, D);
      for (int64_t i = 0; i < count; ++i)
        for (int64_t d = 0; d < D; ++d) to[i * s.ld_out + d] *= inverse[i];
    }
  }
}

}  // namespace
}  // namespace nestvit::kernels

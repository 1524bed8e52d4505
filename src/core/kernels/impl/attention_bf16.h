// Attention inside a block with both products in mixed precision and softmax in f32: the Type for
// attention.h, included by isa/bf16_avx512.cpp.
#pragma once

#include "kernels/impl/attention.h"
#include "kernels/impl/simd_avx512.h"
#include "kernels/impl/simd_bf16.h"

namespace nestvit::kernels {
namespace {

// 2^t for t <= 0 to 1e-4 of it, a twentieth of the rounding to bf16 that follows: the best cubic on
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

struct InBf16 {
  using Word = uint32_t;
  static constexpr int64_t words(int64_t n) { return (n + 1) / 2; }
  static Vec add(const Vec& sum, uint32_t left, const uint32_t* right) {
    const __m512i pair = _mm512_set1_epi32(static_cast<int>(left));
    return static_cast<Vec>(
        _mm512_dpbf16_ps(static_cast<__m512>(sum), reinterpret_cast<__m512bh>(pair),
                         reinterpret_cast<__m512bh>(_mm512_loadu_si512(right))));
  }
  static Rows<uint32_t> queries(const float* q, const AttentionShape& s, int64_t rows,
                                uint32_t* query_buffer) {
    const int64_t row = padded(words(s.head_dim));
    for (int64_t i = 0; i < rows; ++i) round_row(q + i * s.ld, s.head_dim, query_buffer + i * row);
    return {query_buffer, row};
  }
  // A pair is two neighbours in a row.
  static void keys(const float* k, const AttentionShape& s, int64_t np, uint32_t* to) {
    for (int64_t n = 0; n < s.tokens; n += kLanes)
      for (int64_t d = 0; d < s.head_dim; d += 2 * kLanes)
        transpose_pairs(k + n * s.ld + d, s.tokens - n < kLanes ? s.tokens - n : kLanes, s.ld,
                        s.head_dim - d, np, to + d / 2 * np + n);
  }
  // A pair is two neighbours in a column.
  static void values(const float* v, const AttentionShape& s, int64_t dp, uint32_t* to) {
    for (int64_t n = 0; n < s.tokens; n += 2, to += dp)
      for (int64_t d = 0; d < s.head_dim; d += kLanes) {
        const __mmask16 there = first(s.head_dim - d);
        const float* row = v + n * s.ld + d;
        const __m512 high =
            _mm512_maskz_loadu_ps(n + 1 < s.tokens ? there : __mmask16{0}, row + s.ld);
        _mm512_storeu_si512(to + d, pairs_of(_mm512_maskz_loadu_ps(there, row), high));
      }
  }
  // The pairs of two registers replace the first.
  static float exp_weights(float* x, int64_t np, float factor, float largest) {
    const __m512 f = _mm512_set1_ps(factor), top = _mm512_set1_ps(largest);
    const auto part = [&](int64_t c) {  // the difference first, as in attention_f32.h
      return power_of_two(_mm512_mul_ps(f, _mm512_sub_ps(_mm512_loadu_ps(x + c), top)));
    };
    __m512 sum = _mm512_setzero_ps();
    for (int64_t c = 0; c < np; c += 2 * kLanes) {
      const __m512 low = part(c), high = c + kLanes < np ? part(c + kLanes) : _mm512_setzero_ps();
      sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
      _mm512_storeu_si512(x + c / 2, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
    return sum_of(static_cast<Vec>(sum));
  }
};

}  // namespace
}  // namespace nestvit::kernels

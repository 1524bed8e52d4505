// Pairs of bf16 in AVX-512's registers: how they are made and multiplied. Included by
// isa/bf16_avx512.cpp.
#pragma once

#include <immintrin.h>

#include "kernels/impl/simd_avx512.h"

namespace nestvit::kernels {
namespace {

// Pair i is lane i of `low` and lane i of `high`.
inline __m512i pairs_of(__m512 low, __m512 high) {
  const __m512i interleaved = _mm512_set_epi32(
      0x1f000f, 0x1e000e, 0x1d000d, 0x1c000c, 0x1b000b, 0x1a000a, 0x190009, 0x180008, 0x170007,
      0x160006, 0x150005, 0x140004, 0x130003, 0x120002, 0x110001, 0x100000);
  return _mm512_permutexvar_epi16(interleaved,
                                  reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
}

// 16 pairs of each of `rows` <= 16 rows of x, k floats apart: pair p of row i -> packed[p * panel +
// i]. A row has `left` more values; pairs beyond them are not written.
void transpose_pairs(const float* x, int64_t rows, int64_t k, int64_t left, int64_t panel,
                     uint32_t* packed) {
  alignas(64) float pairs[kLanes * kLanes], transposed[kLanes * kLanes];
  for (int64_t i = 0; i < rows; ++i, x += k) {
    const __m512 low = _mm512_maskz_loadu_ps(first(left), x);
    const __m512 high = _mm512_maskz_loadu_ps(first(left - kLanes), x + kLanes);
    _mm512_store_si512(pairs + i * kLanes,
                       reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
  }
  transpose_tile(pairs, kLanes, rows, transposed, kLanes);
  for (int64_t p = 0; p < kLanes && 2 * p < left; ++p)
    _mm512_storeu_si512(packed + p * panel, _mm512_load_si512(transposed + p * kLanes));
}

// x [values] -> packed [(values + 1) / 2]. If `values` is odd, the last pair has a zero.
inline void round_row(const float* x, int64_t values, uint32_t* packed) {
  for (int64_t i = 0; i < values; i += 2 * kLanes) {
    const __m512 low = _mm512_maskz_loadu_ps(first(values - i), x + i);
    const __m512 high = _mm512_maskz_loadu_ps(first(values - i - kLanes), x + i + kLanes);
    const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
    _mm512_mask_storeu_epi32(packed + i / 2, first((values - i + 1) / 2), both);
  }
}

// sum[i][j] += pair a[i * stride] times the pairs of register j of b.
template <int kRows, int kVecs>
inline void multiply(__m512 (&sum)[kRows][kVecs], const uint32_t* a, int64_t stride,
                     const uint32_t* b) {
  __m512i right[kVecs];
#pragma GCC unroll 3
  for (int j = 0; j < kVecs; ++j) right[j] = _mm512_loadu_si512(b + j * kLanes);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    const auto left =
        reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[i * stride])));
#pragma GCC unroll 3
    for (int j = 0; j < kVecs; ++j)
      sum[i][j] = _mm512_dpbf16_ps(sum[i][j], left, reinterpret_cast<__m512bh>(right[j]));
  }
}

}  // namespace
}  // namespace nestvit::kernels

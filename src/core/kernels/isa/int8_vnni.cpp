// Products of 8-bit integers with AVX512_VNNI (flags in src/core/CMakeLists.txt): tiles of 8 x 48
// sums stay in registers over a tap.
#include <immintrin.h>

#include "kernels/impl/simd_avx512.h"
#include "kernels/int8.h"
#include "kernels/isa/tables.h"

namespace nestvit::kernels {
namespace {

static_assert(kInt8Panel == kTileColumns);

inline __m512 load_first(const float* x, int64_t count) {
  return _mm512_maskz_loadu_ps(first(count), x);
}

// The largest |x|, compared as integers: the bits of NaN and infinity are larger than any number's.
float largest_size(const float* x, int64_t count) {
  const __m512i size = _mm512_set1_epi32(0x7fffffff);
  __m512i max[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes)
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      max[j] =
          _mm512_max_epi32(max[j], _mm512_and_si512(_mm512_loadu_si512(x + i + j * kLanes), size));
  for (; i < count; i += kLanes)
    max[0] = _mm512_max_epi32(
        max[0], _mm512_and_si512(_mm512_castps_si512(load_first(x + i, count - i)), size));
  const __m512i all =
      _mm512_max_epi32(_mm512_max_epi32(max[0], max[1]), _mm512_max_epi32(max[2], max[3]));
  return __builtin_bit_cast(float, _mm512_reduce_max_epi32(all));
}

void round(const float* x, int64_t rows, int64_t width, uint32_t* packed) {
  const __m512i zero = _mm512_set1_epi32(kInt8Zero);
  for (int64_t r = 0; r < rows; ++r, x += width, packed += int8_row_words(width)) {
    const float largest = largest_size(x, width), scale = largest / 127;
    const __m512 inverse = _mm512_set1_ps(scale > 0 ? 1 / scale : 0);
    for (int64_t p = 0; p < width; p += kLanes) {
      const __m512i whole =
          _mm512_cvtps_epi32(_mm512_mul_ps(load_first(x + p, width - p), inverse));
      _mm_mask_storeu_epi32(packed + p / 4, static_cast<__mmask8>(first((width - p) / 4) & 0xf),
                            _mm512_cvtusepi32_epi8(_mm512_add_epi32(whole, zero)));
    }
    __builtin_memcpy(packed + width / 4, &scale, sizeof scale);
  }
}

typedef int Ints __attribute__((vector_size(64)));

// sum[i][j] += the products of word a[i * stride] with register j of w.
template <int kRows, int kVecs>
inline void multiply(Ints (&sum)[kRows][kVecs], const uint32_t* a, int64_t stride,
                     const uint32_t* w) {
  __m512i right[kVecs];
#pragma GCC unroll 3
  for (int j = 0; j < kVecs; ++j) right[j] = _mm512_loadu_si512(w + j * kLanes);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    const __m512i left = _mm512_set1_epi32(static_cast<int>(a[i * stride]));
#pragma GCC unroll 3
    for (int j = 0; j < kVecs; ++j)
      sum[i][j] = (Ints)_mm512_dpbusd_epi32((__m512i)sum[i][j], left, right[j]);
  }
}

// kOneTap is known to the compiler, which then keeps the sums in registers from tap to scaling.
template <int kRows, int kVecs, bool kOneTap>
inline void tile(const Int8Gemm& p, int64_t columns, int64_t i, int64_t j) {
  const int64_t words = p.width / 4, stride = words + 1;
  const uint32_t* w = p.weight + j * p.tap_count * words;
  const Target target{p.c + i * p.ldc + j, p.ldc, p.n - j, p.add};
  fetch_for_writing<kRows, kVecs>(target);
  __m512 sum[kRows][kVecs] = {};
  for (int64_t t = 0; t < (kOneTap ? 1 : p.tap_count); ++t, w += words * kInt8Panel) {
    const uint32_t* a = p.a + (i + p.taps[t]) * stride;
    const int32_t* offsets = p.offsets + t * columns + j;
    Ints whole[kRows][kVecs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
      for (int v = 0; v < kVecs; ++v) whole[r][v] = (Ints)_mm512_loadu_si512(offsets + v * kLanes);
    for (int64_t q = 0; q < words; ++q) multiply(whole, a + q, stride, w + q * kInt8Panel);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      float scale;
      __builtin_memcpy(&scale, a + r * stride + words, sizeof scale);
#pragma GCC unroll 3
      for (int v = 0; v < kVecs; ++v)
        sum[r][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)whole[r][v]), _mm512_set1_ps(scale),
                                    sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kVecs; ++v)
      sum[r][v] = _mm512_fmadd_ps(sum[r][v], _mm512_loadu_ps(p.scales + j + v * kLanes),
                                  _mm512_loadu_ps(p.bias + j + v * kLanes));
  store_tile(sum, kRows, target);
}

template <bool kOneTap>
void panels(const Int8Gemm& p) {
  const int64_t columns = (p.n + kInt8Panel - 1) / kInt8Panel * kInt8Panel;
  each_panel_tile(p.m, p.n, [&]<int kRows, int kVecs>(int64_t i, int64_t j) {
    tile<kRows, kVecs, kOneTap>(p, columns, i, j);
  });
}

void gemm(const Int8Gemm& p) {
  if (p.tap_count == 1)
    panels<true>(p);
  else
    panels<false>(p);
}

}  // namespace

constinit const Int8Kernels kInt8Vnni = {.name = "avx512_vnni", .round = round, .gemm = gemm};

}  // namespace nestvit::kernels

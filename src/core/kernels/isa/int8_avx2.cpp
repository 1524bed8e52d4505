// Products of 8-bit integers with AVX2 (flags in src/core/CMakeLists.txt), for processors without
// AVX512_VNNI. The even and the odd bytes of a word become pairs of 16-bit integers, so that the
// sum of two products fits in 32 bits. The arithmetic is that of int8_vnni.cpp, and so is every bit
// of the result.
#include <immintrin.h>

#include "kernels/int8.h"
#include "kernels/isa/tables.h"

namespace nestvit::kernels {
namespace {

// Of 16 registers 8 hold 4 x 2 sums; the others hold even and odd bytes of two weights and of a
// row.
constexpr int kHeight = 4, kVectors = 2, kLanes = 8;
constexpr int kGroup = kVectors * kLanes, kPanelVectors = kInt8Panel / kLanes;
// Words of a row that are split at a time: four rows fill 16 KiB.
constexpr int64_t kRun = 512;

static_assert(kInt8Panel % kGroup == 0);

typedef int Ints __attribute__((vector_size(32)));

// The largest |x|, compared as integers: the bits of NaN and infinity are larger than any number's.
float largest_size(const float* x, int64_t count) {
  const __m128i size = _mm_set1_epi32(0x7fffffff);
  __m128i max = _mm_setzero_si128();
  for (int64_t i = 0; i < count; i += 4)
    max = _mm_max_epi32(max, _mm_and_si128(_mm_castps_si128(_mm_loadu_ps(x + i)), size));
  max = _mm_max_epi32(max, _mm_shuffle_epi32(max, 0x4e));
  max = _mm_max_epi32(max, _mm_shuffle_epi32(max, 0xb1));
  return __builtin_bit_cast(float, _mm_cvtsi128_si32(max));
}

void round(const float* x, int64_t rows, int64_t width, uint32_t* packed) {
  const __m128i zero = _mm_set1_epi32(kInt8Zero);
  for (int64_t r = 0; r < rows; ++r, x += width, packed += int8_row_words(width)) {
    const float largest = largest_size(x, width), scale = largest / 127;
    const __m128 inverse = _mm_set1_ps(scale > 0 ? 1 / scale : 0);
    for (int64_t p = 0; p < width; p += 4) {
      const __m128i whole = _mm_cvtps_epi32(_mm_mul_ps(_mm_loadu_ps(x + p), inverse));
      const __m128i half = _mm_packs_epi32(_mm_add_epi32(whole, zero), zero);
      packed[p / 4] = static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_packus_epi16(half, half)));
    }
    __builtin_memcpy(packed + width / 4, &scale, sizeof scale);
  }
}

// The even and the odd bytes of each row's words, as 16-bit integers.
template <int kRows>
inline void split(const uint32_t* a, int64_t stride, int64_t words, int (*halves)[kRows][2]) {
  for (int64_t q = 0; q < words; ++q)
    for (int i = 0; i < kRows; ++i) {
      halves[q][i][0] = static_cast<int>(a[i * stride + q] & 0x00ff00ff);
      halves[q][i][1] = static_cast<int>(a[i * stride + q] >> 8 & 0x00ff00ff);
    }
}

// sum += the products of each row with registers [first, first + kVectors) of the panel, over
// `words` words of four values.
template <int kRows>
inline void multiply(Ints (&sum)[kRows][kPanelVectors], int first, const int (*halves)[kRows][2],
                     int64_t words, const uint32_t* w) {
  __m256i part[kRows][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) part[i][j] = (__m256i)sum[i][first + j];
  for (int64_t q = 0; q < words; ++q, w += kInt8Panel) {
    __m256i even[kVectors], odd[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      const __m256i word =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + (first + j) * kLanes));
      even[j] = _mm256_srai_epi16(_mm256_slli_epi16(word, 8), 8);
      odd[j] = _mm256_srai_epi16(word, 8);
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half)
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const __m256i left = _mm256_set1_epi32(halves[q][i][half]);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) {
          part[i][j] =
              _mm256_add_epi32(part[i][j], _mm256_madd_epi16(left, half == 0 ? even[j] : odd[j]));
          // Without this g++ adds the products first and runs out of registers.
          asm("" : "+x"(part[i][j]));
        }
      }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sum[i][first + j] = (Ints)part[i][j];
}

// c of row i: the sums times the columns' scales, plus bias.
inline void store(const __m256 (&sum)[kPanelVectors], const Int8Gemm& p, int64_t i, int64_t j) {
  float* c = p.c + i * p.ldc + j;
  const int64_t kept = p.n - j < kInt8Panel ? p.n - j : kInt8Panel;
  float values[kInt8Panel];
  for (int v = 0; v < kPanelVectors; ++v)
    _mm256_storeu_ps(values + v * kLanes,
                     _mm256_fmadd_ps(sum[v], _mm256_loadu_ps(p.scales + j + v * kLanes),
                                     _mm256_loadu_ps(p.bias + j + v * kLanes)));
  for (int64_t x = 0; x < kept; ++x) c[x] = (p.add ? c[x] : 0) + values[x];
}

template <int kRows>
void tile(const Int8Gemm& p, int64_t columns, int64_t i, int64_t j) {
  const int64_t words = p.width / 4, stride = words + 1;
  const uint32_t* w = p.weight + j * p.tap_count * words;
  __m256 sum[kRows][kPanelVectors] = {};
  for (int64_t t = 0; t < p.tap_count; ++t) {
    const uint32_t* a = p.a + (i + p.taps[t]) * stride;
    Ints whole[kRows][kPanelVectors];
    for (int r = 0; r < kRows; ++r)
      __builtin_memcpy(whole[r], p.offsets + t * columns + j, sizeof whole[r]);
    for (int64_t q = 0; q < words; q += kRun) {
      const int64_t run = words - q < kRun ? words - q : kRun;
      int halves[kRun][kRows][2];
      split<kRows>(a + q, stride, run, halves);
      for (int first = 0; first < kPanelVectors; first += kVectors)
        multiply<kRows>(whole, first, halves, run, w);
      w += run * kInt8Panel;
    }
    for (int r = 0; r < kRows; ++r) {
      float scale;
      __builtin_memcpy(&scale, a + r * stride + words, sizeof scale);
      for (int v = 0; v < kPanelVectors; ++v)
        sum[r][v] = _mm256_fmadd_ps(_mm256_cvtepi32_ps((__m256i)whole[r][v]), _mm256_set1_ps(scale),
                                    sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) store(sum[r], p, i + r, j);
}

void gemm(const Int8Gemm& p) {
  const int64_t columns = (p.n + kInt8Panel - 1) / kInt8Panel * kInt8Panel;
  for (int64_t j = 0; j < p.n; j += kInt8Panel) {
    int64_t i = 0;
    for (; i + kHeight <= p.m; i += kHeight) tile<kHeight>(p, columns, i, j);
    for (; i < p.m; ++i) tile<1>(p, columns, i, j);
  }
}

}  // namespace

constinit const Int8Kernels kInt8Avx2 = {.name = "avx2", .round = round, .gemm = gemm};

}  // namespace nestvit::kernels

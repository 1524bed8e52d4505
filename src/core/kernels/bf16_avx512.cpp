// Mixed-precision products by AVX512_BF16 (flags in src/core/CMakeLists.txt): tiles of 8 x 48 sums
// stay in registers over the whole of k. Like training_loops.h in an unnamed namespace and free of
// the standard library.
#include <immintrin.h>

#include "kernels/avx512_tile.h"
#include "kernels/bf16.h"

namespace nestvit::kernels {
namespace {

static_assert(kRightPanel == kTileColumns && kLanes == kLeftPanel && kLeftPanel % kTileHeight == 0);

inline __m512i pairs_of(__m512 low, __m512 high) {
  const __m512i l = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(low)));
  const __m512i h = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(high)));
  return _mm512_or_si512(l, _mm512_slli_epi32(h, 16));
}

// x [k, count]: the pairs are of two rows, which are interleaved.
void pack_across(const float* x, int64_t count, int64_t k, int64_t panel, uint32_t* packed) {
  for (int64_t start = 0; start < count; start += panel)
    for (int64_t p = 0; p < k; p += 2, packed += panel)
      for (int64_t i = 0; i < panel; i += kLanes) {
        const float* row = x + p * count + start + i;
        const __mmask16 there = first(count - start - i);
        const __m512 low = _mm512_maskz_loadu_ps(there, row);
        const __m512 high = _mm512_maskz_loadu_ps(p + 1 < k ? there : __mmask16{0}, row + count);
        _mm512_storeu_si512(packed + i, pairs_of(low, high));
      }
}

// 16 pairs of each of 16 rows of x [count, k], turned round: pair p of row i to packed[p * panel +
// i].
void turn_pairs(const float* x, int64_t rows, int64_t k, int64_t left, int64_t panel,
                uint32_t* packed) {
  alignas(64) float pairs[kLanes * kLanes], turned[kLanes * kLanes];
  for (int64_t i = 0; i < rows; ++i, x += k) {
    const __m512 low = _mm512_maskz_loadu_ps(first(left), x);
    const __m512 high = _mm512_maskz_loadu_ps(first(left - kLanes), x + kLanes);
    _mm512_store_si512(pairs + i * kLanes,
                       reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
  }
  turn_tile(pairs, kLanes, rows, turned, kLanes);
  for (int64_t p = 0; p < kLanes && 2 * p < left; ++p)
    _mm512_storeu_si512(packed + p * panel, _mm512_load_si512(turned + p * kLanes));
}

// x [count, k]: the pairs are neighbours in a row.
void pack_along(const float* x, int64_t count, int64_t k, int64_t panel, uint32_t* packed) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t start = 0; start < count; start += panel, packed += panel * pairs)
    for (int64_t i = 0; i < panel; i += kLanes) {
      const int64_t there = count - start - i;
      const int64_t rows = there < 0 ? 0 : there < kLanes ? there : kLanes;
      for (int64_t p = 0; p < k; p += 2 * kLanes)
        turn_pairs(x + (start + i) * k + p, rows, k, k - p, panel, packed + p / 2 * panel + i);
    }
}

void pack(const float* x, bool turned, int64_t count, int64_t k, int64_t panel, uint32_t* packed) {
  turned ? pack_across(x, count, k, panel, packed) : pack_along(x, count, k, panel, packed);
}

void pack_left(Operand a, int64_t m, int64_t k, uint32_t* packed) {
  pack(a.data, a.turned, m, k, kLeftPanel, packed);
}

void pack_right(Operand b, int64_t k, int64_t n, uint32_t* packed) {
  pack(b.data, !b.turned, n, k, kRightPanel, packed);
}

// sum += a pair of each row times the pairs of a panel.
template <int kRows>
inline void multiply(__m512 (&sum)[kRows][kTileVectors], const uint32_t* a, int64_t stride,
                     const uint32_t* b) {
  __m512i right[kTileVectors];
#pragma GCC unroll 3
  for (int j = 0; j < kTileVectors; ++j) right[j] = _mm512_loadu_si512(b + j * kLanes);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    const auto left =
        reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[i * stride])));
#pragma GCC unroll 3
    for (int j = 0; j < kTileVectors; ++j)
      sum[i][j] = _mm512_dpbf16_ps(sum[i][j], left, reinterpret_cast<__m512bh>(right[j]));
  }
}

// 8 rows of a panel times one panel.
inline void tile(const uint32_t* a, const uint32_t* b, int64_t pairs, int64_t rows,
                 const Target& target) {
  __m512 sum[kTileHeight][kTileVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kTileHeight; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < kTileVectors; ++j) sum[i][j] = _mm512_setzero_ps();
  for (int64_t p = 0; p < pairs; ++p, a += kLeftPanel, b += kRightPanel) multiply(sum, a, 1, b);
  store_tile(sum, rows, target);
}

// kRows rows as round() leaves them.
template <int kRows>
inline void row_tile(const Bf16RowProduct& p, int64_t i, int64_t j) {
  const uint32_t *a = p.a + i * p.lda, *b = p.weight + j * p.tap_count * p.width;
  __m512 sum[kRows][kTileVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kTileVectors; ++v) sum[r][v] = _mm512_loadu_ps(p.bias + j + v * kLanes);
  for (int64_t t = 0; t < p.tap_count; ++t)
    for (int64_t q = 0; q < p.width; ++q, b += kRightPanel)
      multiply(sum, a + p.taps[t] + q, p.lda, b);
  store_tile(sum, kRows, {p.c + i * p.ldc + j, p.ldc, p.n - j, p.add});
}

void row_product(const Bf16RowProduct& p) {
  for (int64_t j = 0; j < p.n; j += kRightPanel) {
    int64_t i = 0;
    for (; i + kTileHeight <= p.m; i += kTileHeight) row_tile<kTileHeight>(p, i, j);
    for (; i + 4 <= p.m; i += 4) row_tile<4>(p, i, j);
    for (; i + 2 <= p.m; i += 2) row_tile<2>(p, i, j);
    for (; i < p.m; ++i) row_tile<1>(p, i, j);
  }
}

void round(const float* x, int64_t pairs, uint32_t* packed) {
  for (int64_t i = 0; i < pairs; i += kLanes) {
    const __m512 low = _mm512_maskz_loadu_ps(first(2 * (pairs - i)), x + 2 * i);
    const __m512 high = _mm512_maskz_loadu_ps(first(2 * (pairs - i) - kLanes), x + 2 * i + kLanes);
    const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
    _mm512_mask_storeu_epi32(packed + i, first(pairs - i), both);
  }
}

void product(const uint32_t* a, const uint32_t* b, int64_t m, int64_t n, int64_t k, bool add,
             float* c) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t j = 0; j < n; j += kRightPanel)
    for (int64_t i = 0; i < m; i += kTileHeight)
      tile(a + i / kLeftPanel * kLeftPanel * pairs + i % kLeftPanel, b + j * pairs, pairs, m - i,
           {c + i * n + j, n, n - j, add});
}

}  // namespace

extern const Bf16Products kBf16Avx512;
const Bf16Products kBf16Avx512 = {"avx512_bf16", pack_left,   pack_right,
                                  round,         row_product, product};

}  // namespace nestvit::kernels

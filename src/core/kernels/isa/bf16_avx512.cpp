// Mixed-precision products with AVX512_BF16 (flags in src/core/CMakeLists.txt): tiles of 8 x 48
// sums stay in registers over all of k.
#include <immintrin.h>

#include "kernels/bf16.h"
#include "kernels/impl/attention_bf16.h"
#include "kernels/impl/simd_avx512.h"
#include "kernels/impl/simd_bf16.h"
#include "kernels/isa/tables.h"

namespace nestvit::kernels {
namespace {

static_assert(kRightPanel == kTileColumns && kLanes == kLeftPanel && kLeftPanel % kTileHeight == 0);

// x [k, count]: a pair is two neighbours in a column, so two rows are interleaved.
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

// x [count, k]: a pair is two neighbours in a row.
void pack_along(const float* x, int64_t count, int64_t k, int64_t panel, uint32_t* packed) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t start = 0; start < count; start += panel, packed += panel * pairs)
    for (int64_t i = 0; i < panel; i += kLanes) {
      const int64_t there = count - start - i;
      const int64_t rows = there < 0 ? 0 : there < kLanes ? there : kLanes;
      for (int64_t p = 0; p < k; p += 2 * kLanes)
        transpose_pairs(x + (start + i) * k + p, rows, k, k - p, panel, packed + p / 2 * panel + i);
    }
}

void pack(const float* x, bool transposed, int64_t count, int64_t k, int64_t panel,
          uint32_t* packed) {
  if (transposed)
    pack_across(x, count, k, panel, packed);
  else
    pack_along(x, count, k, panel, packed);
}

void pack_left(Operand a, int64_t m, int64_t k, uint32_t* packed) {
  pack(a.data, a.transposed, m, k, kLeftPanel, packed);
}

void pack_right(Operand b, int64_t k, int64_t n, uint32_t* packed) {
  pack(b.data, !b.transposed, n, k, kRightPanel, packed);
}

// 8 rows of a left panel times one right panel.
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

// kRows rows from round() times the first kVecs registers of a panel.
template <int kRows, int kVecs>
inline void row_tile(const Bf16GemmRows& p, int64_t i, int64_t j) {
  const uint32_t *a = p.a + i * p.lda, *b = p.weight + j * p.tap_count * p.width;
  const Target target{p.c + i * p.ldc + j, p.ldc, p.n - j, p.add};
  fetch_for_writing<kRows, kVecs>(target);
  __m512 sum[kRows][kVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kVecs; ++v) sum[r][v] = _mm512_loadu_ps(p.bias + j + v * kLanes);
  for (int64_t t = 0; t < p.tap_count; ++t)
    for (int64_t q = 0; q < p.width; ++q, b += kRightPanel)
      multiply(sum, a + p.taps[t] + q, p.lda, b);
  store_tile(sum, kRows, target);
}

void gemm_rows(const Bf16GemmRows& p) {
  each_panel_tile(p.m, p.n, [&]<int kRows, int kVecs>(int64_t i, int64_t j) {
    row_tile<kRows, kVecs>(p, i, j);
  });
}

void round(const float* x, int64_t pairs, uint32_t* packed) { round_row(x, 2 * pairs, packed); }

void gemm(const uint32_t* a, const uint32_t* b, int64_t m, int64_t n, int64_t k, bool add,
          float* c) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t j = 0; j < n; j += kRightPanel)
    for (int64_t i = 0; i < m; i += kTileHeight)
      tile(a + i / kLeftPanel * kLeftPanel * pairs + i % kLeftPanel, b + j * pairs, pairs, m - i,
           {c + i * n + j, n, n - j, add});
}

}  // namespace

constinit const Bf16Kernels kBf16Avx512 = {
    .name = "avx512_bf16",
    .pack_left = pack_left,
    .pack_right = pack_right,
    .round = round,
    .gemm_rows = gemm_rows,
    .attend = attend_in<InBf16>,
    .gemm = gemm,
};

}  // namespace nestvit::kernels

// InferenceKernels::gemm: the sums of kTileRows rows and a panel's columns stay in registers over
// all of k.
#pragma once

#include "kernels/impl/small_gemm.h"
#include "kernels/inference.h"

namespace nestvit::kernels {
namespace {

template <int kVecs>
inline void add_tile(const Vec (&sum)[kVecs], int64_t columns, bool add, float* c) {
  if (columns >= kVecs * kLanes) {
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) {
      float* out = c + j * kLanes;
      store(add ? load(out) + sum[j] : sum[j], out);
    }
    return;
  }
  float whole[kVecs * kLanes];
  for (int j = 0; j < kVecs; ++j) store(sum[j], whole + j * kLanes);
  for (int64_t j = 0; j < columns; ++j) c[j] = add ? c[j] + whole[j] : whole[j];
}

// Fetches the cache lines of a tile's output, which another core may hold, while the sums are made.
template <int kVecs>
inline void fetch_for_writing(const float* row) {
#pragma GCC unroll 4
  for (int j = 0; j < kVecs * kLanes; j += 16) __builtin_prefetch(row + j, 1);
}

// kRows rows of c and the first kVecs registers of a panel.
template <int kRows, int kVecs>
inline void gemm_tile(const Gemm& p, const float* a, const float* weight, const float* bias,
                      int64_t columns, float* c) {
  Vec sum[kRows][kVecs];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    fetch_for_writing<kVecs>(c + i * p.ldc);
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) sum[i][j] = load(bias + j * kLanes);
  }
  for (int64_t t = 0; t < p.tap_count; ++t) {
    const float* at = a + p.taps[t];
    for (int64_t q = 0; q < p.width; ++q, weight += kPanel) {
      Vec row[kVecs];
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) row[j] = load(weight + j * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const float factor = at[i * p.lda + q];
#pragma GCC unroll 4
        for (int j = 0; j < kVecs; ++j) sum[i][j] += factor * row[j];
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) add_tile(sum[i], columns, p.add, c + i * p.ldc);
}

template <int kVecs>
void gemm_panel(const Gemm& p, int64_t column) {
  const float* weight = p.weight + column * p.tap_count * p.width;
  each_row_tile<kVecs>(p.m, column, [&]<int kRows, int>(int64_t i, int64_t j) {
    gemm_tile<kRows, kVecs>(p, p.a + i * p.lda, weight, p.bias + j, p.n - j, p.c + i * p.ldc + j);
  });
}

void gemm(const Gemm& p) {
  int64_t j = 0;
  for (; j + kPanel <= p.n; j += kPanel) gemm_panel<kTileVecs>(p, j);
  if (const int64_t left = p.n - j; left > 2 * kLanes)
    gemm_panel<kTileVecs>(p, j);
  else if (left > kLanes)
    gemm_panel<2>(p, j);
  else if (left > 0)
    gemm_panel<1>(p, j);
}

}  // namespace
}  // namespace nestvit::kernels

// The small matrix products of attention in training: tiles of sums that stay in registers.
#pragma once

#include "kernels/impl/simd.h"

namespace nestvit::kernels {
namespace {

constexpr int kTileVecs = 3;
constexpr int64_t kPanel = kTileVecs * kLanes;
// A(i, p) = data[i * row + p * column]: a matrix or its transpose.
struct Strided {
  const float* data;
  int64_t row, column;
};
struct Matrix {
  float* data;
  int64_t ld;
};
struct ConstMatrix {
  const float* data;
  int64_t ld;
};

inline Strided from_row(Strided a, int64_t i) { return {a.data + i * a.row, a.row, a.column}; }

// c (+)= a b for kRows rows and kVecs registers of columns, of which `columns` are stored.
template <int kRows, int kVecs>
inline void tile(Strided a, ConstMatrix b, int64_t k, Matrix c, int64_t columns, bool accumulate) {
  Vec sum[kRows][kVecs] = {};
  for (int64_t p = 0; p < k; ++p) {
    Vec row[kVecs];
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) row[j] = load(b.data + p * b.ld + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const float factor = a.data[i * a.row + p * a.column];
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) sum[i][j] += factor * row[j];
    }
  }
  if (columns < kVecs * kLanes) {
    float whole[kRows][kVecs * kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) store(sum[i][j], &whole[i][j * kLanes]);
    for (int i = 0; i < kRows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        c.data[i * c.ld + j] = whole[i][j] + (accumulate ? c.data[i * c.ld + j] : 0);
    return;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) {
      float* out = c.data + i * c.ld + j * kLanes;
      store(accumulate ? load(out) + sum[i][j] : sum[i][j], out);
    }
}

template <int kVecs>
inline void panel_of(Strided a, ConstMatrix b, int64_t m, int64_t k, Matrix c, int64_t columns,
                     bool accumulate) {
  int64_t i = 0;
  for (; i + kTileRows <= m; i += kTileRows)
    tile<kTileRows, kVecs>(from_row(a, i), b, k, {c.data + i * c.ld, c.ld}, columns, accumulate);
  for (; i + 4 <= m; i += 4)
    tile<4, kVecs>(from_row(a, i), b, k, {c.data + i * c.ld, c.ld}, columns, accumulate);
  for (; i < m; ++i)
    tile<1, kVecs>(from_row(a, i), b, k, {c.data + i * c.ld, c.ld}, columns, accumulate);
}

// c [m, columns] (+)= a [m, k] b [k, columns], for at most kPanel columns; b can be read up to the
// next multiple of kLanes.
inline void panel(Strided a, ConstMatrix b, int64_t m, int64_t k, Matrix c, int64_t columns,
                  bool accumulate) {
  static_assert(kTileVecs == 3);
  if (columns > 2 * kLanes) return panel_of<3>(a, b, m, k, c, columns, accumulate);
  if (columns > kLanes) return panel_of<2>(a, b, m, k, c, columns, accumulate);
  panel_of<1>(a, b, m, k, c, columns, accumulate);
}

// c [m, n] (+)= a [m, k] b [k, n] for a short k; b can be read up to the next multiple of kLanes
// columns.
inline void small_gemm(Strided a, ConstMatrix b, int64_t m, int64_t n, int64_t k, Matrix c,
                       bool accumulate = false) {
  for (int64_t j = 0; j < n; j += kPanel)
    panel(a, {b.data + j, b.ld}, m, k, {c.data + j, c.ld}, n - j < kPanel ? n - j : kPanel,
          accumulate);
}

}  // namespace
}  // namespace nestvit::kernels

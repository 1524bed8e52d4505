// Tiles of sums in AVX-512's registers, for bf16 and int8: where they are stored and how they cover
// c.
#pragma once

#include <immintrin.h>

#include "kernels/impl/simd.h"

namespace nestvit::kernels {
namespace {

constexpr int64_t kTileHeight = kTileRows, kTileColumns = 48, kTileVectors = kTileColumns / kLanes;

inline __mmask16 first(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
}

// The part of c that a tile's sums are stored or added to.
struct Target {
  float* c;
  int64_t ld, columns;  // columns that are stored
  bool add;
};

// Fetches the cache lines of the target, which another core may hold, while the sums are made.
template <int kRows, int kVecs>
inline void fetch_for_writing(const Target& t) {
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < kVecs; ++j) __builtin_prefetch(t.c + i * t.ld + j * kLanes, 1);
}

template <int kRows, int kVecs>
inline void store_tile(const __m512 (&sum)[kRows][kVecs], int64_t rows, const Target& t) {
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    if (i >= rows) return;
#pragma GCC unroll 3
    for (int j = 0; j < kVecs; ++j) {
      const __mmask16 kept = first(t.columns - j * kLanes);
      float* out = t.c + i * t.ld + j * kLanes;
      const __m512 old = _mm512_maskz_loadu_ps(t.add ? kept : __mmask16{0}, out);
      _mm512_mask_storeu_ps(out, kept, _mm512_add_ps(old, sum[i][j]));
    }
  }
}

// Calls body.operator()<rows, registers>(row, column) for tiles that cover [m, n], panel by panel.
// In the last panel tiles have no more registers than its columns need.
template <class Body>
inline void each_panel_tile(int64_t m, int64_t n, const Body& body) {
  for (int64_t j = 0; j < n; j += kTileColumns) {
    if (n - j > 2 * kLanes)
      each_row_tile<kTileVectors>(m, j, body);
    else if (n - j > kLanes)
      each_row_tile<2>(m, j, body);
    else
      each_row_tile<1>(m, j, body);
  }
}

}  // namespace
}  // namespace nestvit::kernels

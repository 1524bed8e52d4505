// The transforms of Winograd's F(2 x 2, 3 x 3) (Lavin and Gray, arXiv 1509.09308): four outputs of
// a 3 x 3 convolution from 16 products instead of 36.
#pragma once

#include "kernels/impl/simd.h"

namespace nestvit::kernels {
namespace {

// y = B^T x of four registers.
inline void winograd_differences(const Vec* x, Vec* y) {
  y[0] = x[0] - x[2];
  y[1] = x[1] + x[2];
  y[2] = x[2] - x[1];
  y[3] = x[1] - x[3];
}

// kLanes channels of a tile. The 16 values of a tile are `apart` floats apart.
inline void winograd_in_lanes(const float* plane, int64_t row, int64_t C, float* v, int64_t apart) {
  Vec transposed[4][4];  // B^T d: [column][row]
#pragma GCC unroll 4
  for (int x = 0; x < 4; ++x) {
    Vec d[4];
#pragma GCC unroll 4
    for (int y = 0; y < 4; ++y) d[y] = load(plane + y * row + x * C);
    winograd_differences(d, transposed[x]);
  }
#pragma GCC unroll 4
  for (int y = 0; y < 4; ++y) {
    const Vec across[4] = {transposed[0][y], transposed[1][y], transposed[2][y], transposed[3][y]};
    Vec out[4];
    winograd_differences(across, out);
#pragma GCC unroll 4
    for (int x = 0; x < 4; ++x) store(out[x], v + (4 * y + x) * apart);
  }
}

void winograd_in(const float* plane, int64_t row, int64_t C, int64_t tiles, float* v) {
  for (int64_t t = 0; t < tiles; ++t)
    for (int64_t c = 0; c < C; c += kLanes)
      winograd_in_lanes(plane + 2 * t * C + c, row, C, v + t * C + c, tiles * C);
}

// A^T m of four registers: m0 + m1 + m2 and m1 - m2 - m3.
inline void winograd_sums(const Vec* m, Vec& first, Vec& second) {
  first = m[0] + m[1] + m[2];
  second = m[1] - m[2] - m[3];
}

void winograd_out(const float* m, int64_t C, int64_t tiles, const float* bias, float* y,
                  int64_t row) {
  const int64_t apart = tiles * C;
  for (int64_t t = 0; t < tiles; ++t)
    for (int64_t c = 0; c < C; c += kLanes) {
      const float* from = m + t * C + c;
      Vec top[4], bottom[4];
#pragma GCC unroll 4
      for (int x = 0; x < 4; ++x) {
        Vec column[4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) column[r] = load(from + (4 * r + x) * apart);
        winograd_sums(column, top[x], bottom[x]);
      }
      const Vec b = load(bias + c);
      float* to = y + 2 * t * C + c;
      Vec left, right;
      winograd_sums(top, left, right);
      store(left + b, to);
      store(right + b, to + C);
      winograd_sums(bottom, left, right);
      store(left + b, to + row);
      store(right + b, to + row + C);
    }
}

}  // namespace
}  // namespace nestvit::kernels

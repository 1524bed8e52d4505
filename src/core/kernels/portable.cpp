// Plain loops, written so that the compiler can vectorise them.
#include "kernels/portable.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace nestvit::kernels {

void flush_denormals() {
#if defined(__SSE2__)
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  _mm_setcsr(_mm_getcsr() | kFlushToZero | kDenormalsAreZero);
#endif
}

void channel_affine(const float* x, int64_t rows, int64_t C, const float* scale, const float* shift,
                    float* y) {
  for (int64_t r = 0; r < rows; ++r, x += C, y += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) y[c] = x[c] * scale[c] + shift[c];
}

void group_affine(const GroupNorm& norm, double* scratch, float* scale, float* shift) {
  // Sums per channel in double, so that one pass over up to 10^5 rows is exact enough.
  double *sum = scratch, *squares = scratch + norm.channels;
  std::fill_n(scratch, 2 * norm.channels, 0.0);
  const float* x = norm.x;
  for (int64_t r = 0; r < norm.rows; ++r, x += norm.ld)
#pragma omp simd
    for (int64_t c = 0; c < norm.channels; ++c) {
      const double value = x[c];
      sum[c] += value;
      squares[c] += value * value;
    }
  const int64_t width = norm.width;
  const double count = static_cast<double>(norm.rows * width);
  for (int64_t first = 0; first < norm.channels; first += width) {
    const double mean = std::accumulate(sum + first, sum + first + width, 0.0) / count;
    const double square = std::accumulate(squares + first, squares + first + width, 0.0) / count;
    const double rsqrt = 1.0 / std::sqrt(std::max(0.0, square - mean * mean) + norm.eps);
    for (int64_t c = first; c < first + width; ++c) {
      scale[c] = static_cast<float>(rsqrt * norm.gamma[c]);
      shift[c] = static_cast<float>(norm.beta[c] - mean * rsqrt * norm.gamma[c]);
    }
  }
}

void add(const float* x, int64_t count, float* y) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] += x[i];
}

void mean_rows(const float* x, int64_t rows, int64_t C, float* y) {
  std::fill_n(y, C, 0.0f);
  for (int64_t r = 0; r < rows; ++r) add(x + r * C, C, y);
  const float scale = 1.0f / static_cast<float>(rows);
#pragma omp simd
  for (int64_t c = 0; c < C; ++c) y[c] *= scale;
}

int64_t same_padding(int64_t size) {
  return std::max<int64_t>(0, ((size + 1) / 2 - 1) * 2 + 3 - size) / 2;
}

void patchify(const float* image, int64_t channels, int64_t patch, int64_t grid, int64_t edge,
              int64_t t, float* y) {
  const int64_t size = grid * edge * patch;
  for (int64_t n = 0; n < edge * edge; ++n) {
    const int64_t top = ((t / grid) * edge + n / edge) * patch,
                  left = ((t % grid) * edge + n % edge) * patch;
    for (int64_t channel = 0; channel < channels; ++channel)
      for (int64_t row = 0; row < patch; ++row, y += patch)
        std::copy_n(image + (channel * size + top + row) * size + left, patch, y);
  }
}

}  // namespace nestvit::kernels

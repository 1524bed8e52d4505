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

namespace {

// body(pixels of the image, pixels of y, count) for each row of each patch of block t.
template <class Body>
void each_patch_row(int64_t channels, int64_t patch, int64_t grid, int64_t edge, int64_t t,
                    const Body& body) {
  const int64_t size = grid * edge * patch;
  int64_t at = 0;
  for (int64_t n = 0; n < edge * edge; ++n) {
    const int64_t top = ((t / grid) * edge + n / edge) * patch,
                  left = ((t % grid) * edge + n % edge) * patch;
    for (int64_t channel = 0; channel < channels; ++channel)
      for (int64_t row = 0; row < patch; ++row, at += patch)
        body((channel * size + top + row) * size + left, at);
  }
}

}  // namespace

void patchify(const float* image, int64_t channels, int64_t patch, int64_t grid, int64_t edge,
              int64_t t, float* y) {
  each_patch_row(channels, patch, grid, edge, t,
                 [&](int64_t pixels, int64_t at) { std::copy_n(image + pixels, patch, y + at); });
}

void unpatchify(const float* y, int64_t channels, int64_t patch, int64_t grid, int64_t edge,
                int64_t t, float* image) {
  each_patch_row(channels, patch, grid, edge, t,
                 [&](int64_t pixels, int64_t at) { std::copy_n(y + at, patch, image + pixels); });
}

void centred_backward(const float* x, const float* dy, int64_t rows, int64_t C, const float* gamma,
                      float eps, float* d) {
  const float share = 1.0f / static_cast<float>(C);
  for (int64_t r = 0; r < rows; ++r, x += C, dy += C, d += C) {
    float sum = 0, sum_g = 0;
#pragma omp simd reduction(+ : sum, sum_g)
    for (int64_t c = 0; c < C; ++c) {
      sum += x[c];
      sum_g += dy[c] * gamma[c];
    }
    const float mean = sum * share, mean_g = sum_g * share;
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t c = 0; c < C; ++c) squares += (x[c] - mean) * (x[c] - mean);
    const float inverse = 1.0f / std::sqrt(squares * share + eps);
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) d[c] += inverse * (dy[c] * gamma[c] - mean_g);
  }
}

void add_scaled(const float* dy, int64_t rows, int64_t C, const float* scale, float* d) {
  for (int64_t r = 0; r < rows; ++r, dy += C, d += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) d[c] += dy[c] * scale[c];
}

// With z the normalised x and g = dy * gamma: the gradient is (g - mean(g) - z * mean(g z)) /
// sigma, the means over a group's channels of all rows.
void group_backward(const GroupNorm& norm, const float* dy, bool constant_deviation,
                    double* scratch, float* affine, int64_t apart) {
  const int64_t channels = norm.channels, width = norm.width;
  double *sum = scratch, *squares = sum + channels, *sum_g = squares + channels;
  double* dots = sum_g + channels;
  std::fill_n(scratch, 4 * channels, 0.0);
  const float* x = norm.x;
  for (int64_t r = 0; r < norm.rows; ++r, x += norm.ld, dy += norm.ld)
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      const double value = x[c], g = static_cast<double>(dy[c]) * norm.gamma[c];
      sum[c] += value;
      squares[c] += value * value;
      sum_g[c] += g;
      dots[c] += g * value;
    }
  const double count = static_cast<double>(norm.rows * width);
  for (int64_t first = 0; first < channels; first += width) {
    const auto mean_of = [&](const double* sums) {
      return std::accumulate(sums + first, sums + first + width, 0.0) / count;
    };
    const double mean = mean_of(sum), mean_g = mean_of(sum_g);
    const double rsqrt = 1.0 / std::sqrt(std::max(0.0, mean_of(squares) - mean * mean) + norm.eps);
    const double slope =
        constant_deviation ? 0 : -rsqrt * rsqrt * rsqrt * (mean_of(dots) - mean * mean_g);
    for (int64_t c = first; c < first + width; ++c) {
      affine[c] = static_cast<float>(rsqrt * norm.gamma[c]);
      affine[apart + c] = static_cast<float>(slope);
      affine[2 * apart + c] = static_cast<float>(mean);
      affine[3 * apart + c] = static_cast<float>(-rsqrt * mean_g);
    }
  }
}

void add_group_backward(const float* x, const float* dy, int64_t rows, int64_t C,
                        const float* affine, int64_t apart, float* d) {
  const float *scale = affine, *slope = scale + apart, *mean = slope + apart, *shift = mean + apart;
  for (int64_t r = 0; r < rows; ++r, x += C, dy += C, d += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c)
      d[c] += scale[c] * dy[c] + slope[c] * (x[c] - mean[c]) + shift[c];
}

void max_pool_choice(const float* map, int64_t size, int64_t C, int64_t pad, int64_t oy, int64_t ox,
                     int64_t count, uint8_t* chosen) {
  for (int64_t i = 0; i < count; ++i, chosen += C) {
    const float* best[9];  // the pixels of the window, of which the first `found` are in the map
    uint8_t place[9];
    int found = 0;
    for (int64_t k = 0; k < 9; ++k) {
      const int64_t row = 2 * oy - pad + k / 3, column = 2 * (ox + i) - pad + k % 3;
      if (row < 0 || row >= size || column < 0 || column >= size) continue;
      best[found] = map + (row * size + column) * C;
      place[found++] = static_cast<uint8_t>(k);
    }
    for (int64_t c = 0; c < C; ++c) {
      float most = best[0][c];
      uint8_t at = place[0];
      for (int k = 1; k < found; ++k)
        if (best[k][c] > most) {
          most = best[k][c];
          at = place[k];
        }
      chosen[c] = at;
    }
  }
}

void max_pool_backward(const float* dy, const uint8_t* chosen, int64_t size, int64_t C, int64_t pad,
                       int64_t ox, int64_t count, int row, float* d) {
  for (int64_t i = 0; i < count; ++i, dy += C, chosen += C)
    for (int k = 0; k < 3; ++k) {
      const int64_t column = 2 * (ox + i) - pad + k;
      if (column < 0 || column >= size) continue;
      const int wanted = 3 * row + k;
      float* to = d + column * C;
#pragma omp simd
      for (int64_t c = 0; c < C; ++c) to[c] += chosen[c] == wanted ? dy[c] : 0.0f;
    }
}

}  // namespace nestvit::kernels

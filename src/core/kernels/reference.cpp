// The reference kernels: plain loops, written so that the compiler can vectorise them.
#include "kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels/impl/math.h"

namespace nestvit::kernels {
void flush_denormals() {
#if defined(__SSE2__)
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  _mm_setcsr(_mm_getcsr() | kFlushToZero | kDenormalsAreZero);
#endif
}

void layer_norm(const float* x, int64_t rows, int64_t C, const float* gamma, const float* beta,
                float eps, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += C, y += C) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < C; ++c) sum += x[c];
    const float mean = sum / static_cast<float>(C);
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t c = 0; c < C; ++c) squares += (x[c] - mean) * (x[c] - mean);
    const float scale = 1.0f / std::sqrt(squares / static_cast<float>(C) + eps);
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) y[c] = (x[c] - mean) * scale * gamma[c] + beta[c];
  }
}

void channel_affine(const float* x, int64_t rows, int64_t C, const float* scale, const float* shift,
                    float* y) {
  for (int64_t r = 0; r < rows; ++r, x += C, y += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) y[c] = x[c] * scale[c] + shift[c];
}

void group_norm(const float* x, int64_t rows, int64_t C, int64_t groups, const float* gamma,
                const float* beta, float eps, double* scratch, float* y) {
  // Sums per channel in double, so that one pass over up to 10^5 rows is exact enough; they then
  // make room for the scale and the shift of each channel.
  double *sum = scratch, *squares = scratch + C;
  std::fill_n(scratch, 2 * C, 0.0);
  for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) {
      const double value = x[r * C + c];
      sum[c] += value;
      squares[c] += value * value;
    }
  const int64_t width = C / groups;
  for (int64_t first = 0; first < C; first += width) {
    const double count = static_cast<double>(rows * width);
    const double mean = std::accumulate(sum + first, sum + first + width, 0.0) / count;
    const double square = std::accumulate(squares + first, squares + first + width, 0.0) / count;
    const double rsqrt = 1.0 / std::sqrt(std::max(0.0, square - mean * mean) + eps);
    for (int64_t c = first; c < first + width; ++c) {
      sum[c] = rsqrt * gamma[c];
      squares[c] = beta[c] - mean * sum[c];
    }
  }
  for (int64_t r = 0; r < rows; ++r)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c)
      y[r * C + c] = static_cast<float>(x[r * C + c] * sum[c] + squares[c]);
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

void softmax(float* x, int64_t rows, int64_t cols, float scale) {
  for (int64_t r = 0; r < rows; ++r, x += cols) {
    float largest = x[0];
#pragma omp simd reduction(max : largest)
    for (int64_t c = 0; c < cols; ++c) largest = x[c] > largest ? x[c] : largest;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < cols; ++c) {
      x[c] = exp_poly(scale * (x[c] - largest));
      sum += x[c];
    }
    const float inverse = 1.0f / sum;
#pragma omp simd
    for (int64_t c = 0; c < cols; ++c) x[c] *= inverse;
  }
}

void gelu_tanh(float* x, int64_t count) {
  // 0.5 (1 + tanh(u)) = 1 / (1 + e^(-2u))
  constexpr float kTwice = 2 * 0.7978845608028654f;  // 2 sqrt(2/pi)
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float u = kTwice * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
    x[i] = x[i] / (1.0f + exp_poly(-u));
  }
}

void gelu_erf(float* x, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] = 0.5f * x[i] * (1.0f + erf_poly(x[i] * 0.70710678f));
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

int64_t pooled_size(int64_t size) { return (size + 1) / 2; }

int64_t same_padding(int64_t size) {
  return std::max<int64_t>(0, (pooled_size(size) - 1) * 2 + 3 - size) / 2;
}

void max_pool_row(const float* map, int64_t h, int64_t w, int64_t C, int64_t pad_y, int64_t pad_x,
                  int64_t oy, float* y) {
  const int64_t y0 = std::max<int64_t>(0, 2 * oy - pad_y), y1 = std::min(h, 2 * oy - pad_y + 3);
  for (int64_t ox = 0; ox < pooled_size(w); ++ox, y += C) {
    const int64_t x0 = std::max<int64_t>(0, 2 * ox - pad_x), x1 = std::min(w, 2 * ox - pad_x + 3);
    std::fill_n(y, C, -std::numeric_limits<float>::infinity());
    for (int64_t iy = y0; iy < y1; ++iy)
      for (int64_t ix = x0; ix < x1; ++ix) {
        const float* pixel = map + (iy * w + ix) * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) y[c] = pixel[c] > y[c] ? pixel[c] : y[c];
      }
  }
}

void blockify(const float* map, int64_t grid, int64_t edge, int64_t C, int64_t t, float* y) {
  const float* corner = map + ((t / grid) * edge * grid * edge + (t % grid) * edge) * C;
  for (int64_t row = 0; row < edge; ++row)
    std::memcpy(y + row * edge * C, corner + row * grid * edge * C, sizeof(float) * edge * C);
}

void unblockify(const float* x, int64_t grid, int64_t edge, int64_t C, int64_t t, float* map) {
  float* corner = map + ((t / grid) * edge * grid * edge + (t % grid) * edge) * C;
  for (int64_t row = 0; row < edge; ++row)
    std::memcpy(corner + row * grid * edge * C, x + row * edge * C, sizeof(float) * edge * C);
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

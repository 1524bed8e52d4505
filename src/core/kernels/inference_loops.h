// The bodies of InferenceKernels. Like training_loops.h, on which it builds, in an unnamed
// namespace and free of the standard library.
#pragma once

#include "kernels/inference.h"
#include "kernels/inference_attention.h"
#include "kernels/training_loops.h"
#include "kernels/winograd.h"

namespace nestvit::kernels {
namespace {

// [k][kPanel], padded with zeros.
void pack_panel(const float* weight, int64_t n, int64_t k, float* packed) {
  const int64_t whole = k / kLanes * kLanes;
  for (int64_t j = 0; j < kPanel; j += kLanes)
    for (int64_t p = 0; p < whole; p += kLanes)
      turn_tile(weight + j * k + p, k, n - j, packed + p * kPanel + j, kPanel);
  for (int64_t p = whole; p < k; ++p)
    for (int64_t c = 0; c < kPanel; ++c) packed[p * kPanel + c] = c < n ? weight[c * k + p] : 0;
}

inline void add_tile(Vec* sum, int64_t columns, bool add, float* c) {
  if (columns >= kPanel) {
#pragma GCC unroll 4
    for (int j = 0; j < kTileVecs; ++j) {
      float* out = c + j * kLanes;
      store(add ? load(out) + sum[j] : sum[j], out);
    }
    return;
  }
  float whole[kPanel];
  for (int j = 0; j < kTileVecs; ++j) store(sum[j], whole + j * kLanes);
  for (int64_t j = 0; j < columns; ++j) c[j] = add ? c[j] + whole[j] : whole[j];
}

// The output of a tile, whose lines another core may hold, is on its way while the sums are made.
inline void fetch_for_writing(const float* row) {
#pragma GCC unroll 4
  for (int j = 0; j < kPanel; j += 16) __builtin_prefetch(row + j, 1);
}

// kRows rows of a panel.
template <int kRows>
inline void product_tile(const Product& p, const float* a, const float* weight, const float* bias,
                         int64_t columns, float* c) {
  Vec sum[kRows][kTileVecs];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    fetch_for_writing(c + i * p.ldc);
#pragma GCC unroll 4
    for (int j = 0; j < kTileVecs; ++j) sum[i][j] = load(bias + j * kLanes);
  }
  for (int64_t t = 0; t < p.tap_count; ++t) {
    const float* at = a + p.taps[t];
    for (int64_t q = 0; q < p.width; ++q, weight += kPanel) {
      Vec row[kTileVecs];
#pragma GCC unroll 4
      for (int j = 0; j < kTileVecs; ++j) row[j] = load(weight + j * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const float factor = at[i * p.lda + q];
#pragma GCC unroll 4
        for (int j = 0; j < kTileVecs; ++j) sum[i][j] += factor * row[j];
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) add_tile(sum[i], columns, p.add, c + i * p.ldc);
}

void product(const Product& p) {
  const int64_t k = p.tap_count * p.width;
  for (int64_t j = 0; j < p.n; j += kPanel) {
    const float *weight = p.weight + j * k, *bias = p.bias + j;
    const auto rows = [&](auto tile, int64_t i) {
      tile(p, p.a + i * p.lda, weight, bias, p.n - j, p.c + i * p.ldc + j);
    };
    int64_t i = 0;
    for (; i + kTileRows <= p.m; i += kTileRows) rows(product_tile<kTileRows>, i);
    for (; i + 4 <= p.m; i += 4) rows(product_tile<4>, i);
    for (; i + 2 <= p.m; i += 2) rows(product_tile<2>, i);
    for (; i < p.m; ++i) rows(product_tile<1>, i);
  }
}

void gelu_values_by_tanh(float* x, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] = gelu_by_tanh(x[i]).value;
}

void gelu_values_by_erf(float* x, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] *= phi_poly(x[i]);
}

void gelu(float* x, int64_t rows, int64_t C, bool tanh) {
  tanh ? gelu_values_by_tanh(x, rows * C) : gelu_values_by_erf(x, rows * C);
}

void max_pool(const float* map, int64_t size, int64_t C, int64_t pad, int64_t oy, int64_t ox,
              int64_t count, float* y) {
  for (int64_t x = ox; x < ox + count; ++x, y += C) {
    for (int64_t c = 0; c < C; ++c) y[c] = -__builtin_inff();
    for (int64_t row = 2 * oy - pad; row < 2 * oy - pad + 3; ++row)
      for (int64_t column = 2 * x - pad; column < 2 * x - pad + 3; ++column) {
        if (row < 0 || row >= size || column < 0 || column >= size) continue;
        const float* from = map + (row * size + column) * C;
        for (int64_t c = 0; c < C; ++c) y[c] = y[c] > from[c] ? y[c] : from[c];
      }
  }
}

constexpr InferenceKernels inference_table(const char* name) {
  return {name,     kPanel, pack_panel,  product,     layer_norm_rows, gelu, attend_in<InF32>,
          max_pool, kLanes, winograd_in, winograd_out};
}

}  // namespace
}  // namespace nestvit::kernels

// The bodies of InferenceKernels and its table, for one file of isa/ per instruction set.
#pragma once

#include "kernels/impl/attention_f32.h"
#include "kernels/impl/strassen.h"
#include "kernels/impl/training_impl.h"
#include "kernels/impl/winograd.h"
#include "kernels/inference.h"

namespace nestvit::kernels {
namespace {

// W [n, k] -> packed [k][kPanel], padded with zeros.
void pack_panel(const float* weight, int64_t n, int64_t k, float* packed) {
  const int64_t whole = k / kLanes * kLanes;
  for (int64_t j = 0; j < kPanel; j += kLanes)
    for (int64_t p = 0; p < whole; p += kLanes)
      transpose_tile(weight + j * k + p, k, n - j, packed + p * kPanel + j, kPanel);
  for (int64_t p = whole; p < k; ++p)
    for (int64_t c = 0; c < kPanel; ++c) packed[p * kPanel + c] = c < n ? weight[c * k + p] : 0;
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
  if (tanh)
    gelu_values_by_tanh(x, rows * C);
  else
    gelu_values_by_erf(x, rows * C);
}

void gelu_gate(const float* h, int64_t rows, int64_t C, bool tanh, float* dy) {
  const int64_t count = rows * C;
  if (tanh) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) dy[i] *= gate_by_tanh(h[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) dy[i] *= phi_poly(h[i]);
  }
}

template <const float (&kCoefficients)[8]>
void gelu_approx_values(float* x, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) x[i] *= phi_approx(x[i], kCoefficients);
}

void gelu_approx(float* x, int64_t rows, int64_t C, bool tanh) {
  if (tanh)
    gelu_approx_values<kApproxByTanh>(x, rows * C);
  else
    gelu_approx_values<kApproxByErf>(x, rows * C);
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
  return {
      .name = name,
      .panel = kPanel,
      .pack = pack_panel,
      .gemm = gemm,
      .strassen = strassen,
      .strassen_scratch = strassen_scratch,
      .layer_norm = layer_norm_rows,
      .gelu = gelu,
      .gelu_approx = gelu_approx,
      .gelu_gate = gelu_gate,
      .attend = attend_in<InF32>,
      .max_pool = max_pool,
      .whole_channels = kLanes,
      .winograd_in = winograd_in,
      .winograd_out = winograd_out,
  };
}

}  // namespace
}  // namespace nestvit::kernels

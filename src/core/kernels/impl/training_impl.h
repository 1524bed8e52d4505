// The bodies of TrainingKernels and its table, for one file of isa/ per instruction set.
#pragma once

#include "kernels/impl/attention_training.h"
#include "kernels/impl/math.h"
#include "kernels/impl/simd.h"
#include "kernels/impl/small_gemm.h"
#include "kernels/training.h"

namespace nestvit::kernels {
namespace {

// ---- layer norm ----

struct Moments {
  float mean, inverse;  // 1 / sqrt(variance + eps)
};

inline Moments moments(const float* x, int64_t C, float eps) {
  const int64_t whole = C / kLanes * kLanes;
  Vec sums{}, squares{};
  for (int64_t c = 0; c < whole; c += kLanes) sums += load(x + c);
  float sum = sum_of(sums);
  for (int64_t c = whole; c < C; ++c) sum += x[c];
  const float mean = sum / static_cast<float>(C);
  for (int64_t c = 0; c < whole; c += kLanes) {
    const Vec off = load(x + c) - mean;
    squares += off * off;
  }
  float square = sum_of(squares);
  for (int64_t c = whole; c < C; ++c) square += (x[c] - mean) * (x[c] - mean);
  return {mean, inverse_sqrt(square / static_cast<float>(C) + eps)};
}

void layer_norm_rows(const float* x, int64_t rows, int64_t C, const float* gamma, const float* beta,
                     float eps, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += C, y += C) {
    const Moments m = moments(x, C, eps);
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) y[c] = (x[c] - m.mean) * m.inverse * gamma[c] + beta[c];
  }
}

// With z the normalised row and g = dy * gamma: dx = (g - mean(g) - z * mean(g z)) / sigma.
void layer_norm_backward(const float* x, const float* dy, const float* skip, int64_t rows,
                         int64_t C, const float* gamma, float eps, float* dx, float* dgamma,
                         float* dbeta) {
  const int64_t whole = C / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r, x += C, dy += C, skip += C, dx += C) {
    const Moments m = moments(x, C, eps);
    Vec sums{}, dots{};
    for (int64_t c = 0; c < whole; c += kLanes) {
      const Vec z = (load(x + c) - m.mean) * m.inverse, d = load(dy + c), g = d * load(gamma + c);
      sums += g;
      dots += g * z;
      store(load(dgamma + c) + d * z, dgamma + c);
      store(load(dbeta + c) + d, dbeta + c);
    }
    float sum = sum_of(sums), dot = sum_of(dots);
    for (int64_t c = whole; c < C; ++c) {
      const float z = (x[c] - m.mean) * m.inverse, g = dy[c] * gamma[c];
      sum += g;
      dot += g * z;
      dgamma[c] += dy[c] * z;
      dbeta[c] += dy[c];
    }
    sum /= static_cast<float>(C);
    dot /= static_cast<float>(C);
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) {
      const float z = (x[c] - m.mean) * m.inverse;
      dx[c] = skip[c] + m.inverse * (dy[c] * gamma[c] - sum - z * dot);
    }
  }
}

// ---- biases, residuals, GELU ----

void add_bias(float* x, int64_t rows, int64_t C, const float* bias) {
  for (int64_t r = 0; r < rows; ++r, x += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) x[c] += bias[c];
}

void add_branch(const float* x, const float* branch, const float* bias, float scale, int64_t rows,
                int64_t C, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += C, branch += C, y += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) y[c] = x[c] + scale * (branch[c] + bias[c]);
}

void scale_and_sum(const float* x, float scale, int64_t rows, int64_t C, float* y, float* sum) {
  for (int64_t r = 0; r < rows; ++r, x += C, y += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) {
      y[c] = scale * x[c];
      sum[c] += y[c];
    }
}

void sum_rows(const float* x, int64_t rows, int64_t C, float* sum) {
  for (int64_t r = 0; r < rows; ++r, x += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) sum[c] += x[c];
}

struct Gelu {
  float value, slope;
};

constexpr float kTwiceRoot = 2 * 0.7978845608028654f;  // 2 sqrt(2/pi)

// 0.5 (1 + tanh(u)) = 1 / (1 + e^(-2u))
inline float gate_by_tanh(float x) {
  const float u = kTwiceRoot * (x + 0.044715f * x * x * x);
  return 1.0f / (1.0f + exp_poly(-u));
}

inline Gelu gelu_by_tanh(float x) {
  const float s = gate_by_tanh(x);
  // For |x| > 9 the slope is 0 or 1 to the last bit; the square of a huge x would make
  // it NaN.
  const float near = x > 9.0f ? 9.0f : x < -9.0f ? -9.0f : x;
  const float growth = kTwiceRoot * (1.0f + 3 * 0.044715f * near * near);
  return {x * s, s + near * s * (1.0f - s) * growth};
}

inline Gelu gelu_by_erf(float x) {
  const float phi = phi_poly(x);
  return {x * phi, phi + x * 0.39894228f * exp_poly(-0.5f * x * x)};  // 1 / sqrt(2 pi)
}

template <Gelu kGelu(float)>
void bias_gelu_rows(const float* x, const float* bias, int64_t rows, int64_t C, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += C, y += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) y[c] = kGelu(x[c] + bias[c]).value;
}

template <Gelu kGelu(float)>
void bias_gelu_backward_rows(const float* x, const float* bias, int64_t rows, int64_t C, float* y,
                             float* dy, float* dbias) {
  for (int64_t r = 0; r < rows; ++r, x += C, y += C, dy += C)
#pragma omp simd
    for (int64_t c = 0; c < C; ++c) {
      const Gelu gelu = kGelu(x[c] + bias[c]);
      y[c] = gelu.value;
      dy[c] *= gelu.slope;
      dbias[c] += dy[c];
    }
}

void bias_gelu(const float* x, const float* bias, int64_t rows, int64_t C, bool tanh, float* y) {
  if (tanh)
    bias_gelu_rows<gelu_by_tanh>(x, bias, rows, C, y);
  else
    bias_gelu_rows<gelu_by_erf>(x, bias, rows, C, y);
}

void bias_gelu_backward(const float* x, const float* bias, int64_t rows, int64_t C, bool tanh,
                        float* y, float* dy, float* dbias) {
  if (tanh)
    bias_gelu_backward_rows<gelu_by_tanh>(x, bias, rows, C, y, dy, dbias);
  else
    bias_gelu_backward_rows<gelu_by_erf>(x, bias, rows, C, y, dy, dbias);
}

// ---- optimiser ----

void adam(const AdamStep& s, int64_t count, const float* g, float* m, float* v, float* p) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    m[i] = s.beta1 * m[i] + s.one_minus_beta1 * g[i];
    v[i] = s.beta2 * v[i] + s.one_minus_beta2 * g[i] * g[i];
    const float root = __builtin_sqrtf(v[i] / s.correction2) + s.eps;
    p[i] -= s.rate * (m[i] / s.correction1) / root + s.decay * p[i];
  }
}

constexpr TrainingKernels training_table(const char* name) {
  return {
      .name = name,
      .layer_norm = layer_norm_rows,
      .layer_norm_backward = layer_norm_backward,
      .add_bias = add_bias,
      .add_branch = add_branch,
      .scale_and_sum = scale_and_sum,
      .sum_rows = sum_rows,
      .bias_gelu = bias_gelu,
      .bias_gelu_backward = bias_gelu_backward,
      .attention = attention,
      .attention_backward = attention_backward,
      .adam = adam,
  };
}

}  // namespace
}  // namespace nestvit::kernels

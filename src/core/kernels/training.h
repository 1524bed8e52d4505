// The loops of a training step between the matrix products, forward and backward, compiled once
// per instruction set. Each call works on one thread; all arrays are f32 and row-major, a "leading
// dimension" being the distance between rows. Reference.md A says what they compute; tests hold
// every set against double precision.
#pragma once

#include <cstdint>

namespace nestvit::kernels {

// Attention inside ONE block of N tokens: softmax(q k^T / sqrt(D)) v, for each of H heads. Head h
// reads q from column h*D on, k and v from column h*D on of theirs, or all from column 0 when
// kv_heads is 1 (multi-query). kv_heads is H or 1.
struct AttentionShape {
  int64_t tokens, heads, head_dim, kv_heads;
  int64_t ld;      // of q, k and v and of their gradients: they are columns of one array
  int64_t ld_out;  // of the output and its gradient: [N, >= H*D]
};

// One step of Adam on values that are trained alike; reference.md F.1.
struct AdamStep {
  float beta1, beta2, eps;
  float one_minus_beta1, one_minus_beta2;  // from double: the difference of floats is off by 1e-5
  float correction1, correction2;          // 1 - beta^t
  float rate;                              // learning rate
  float decay;                             // rate * weight decay
};

struct TrainingKernels {
  const char* name;  // of the instruction set

  // y[r] = (x[r] - mean) / sqrt(variance + eps) * gamma + beta over the C values of each row.
  void (*layer_norm)(const float* x, int64_t rows, int64_t C, const float* gamma, const float* beta,
                     float eps, float* y);
  // Given dy, the gradient of y above: dx[r] = skip[r] + the gradient of x[r]; dgamma[C] and
  // dbeta[C] are added to. dx may be dy or skip.
  void (*layer_norm_backward)(const float* x, const float* dy, const float* skip, int64_t rows,
                              int64_t C, const float* gamma, float eps, float* dx, float* dgamma,
                              float* dbeta);

  // x[r, c] += bias[c]
  void (*add_bias)(float* x, int64_t rows, int64_t C, const float* bias);
  // y[r, c] = x[r, c] + scale * (branch[r, c] + bias[c])
  void (*add_branch)(const float* x, const float* branch, const float* bias, float scale,
                     int64_t rows, int64_t C, float* y);
  // y[r, c] = scale * x[r, c], and sum[c] += that.
  void (*scale_and_sum)(const float* x, float scale, int64_t rows, int64_t C, float* y, float* sum);
  // sum[c] += x[r, c]
  void (*sum_rows)(const float* x, int64_t rows, int64_t C, float* sum);

  // y[r, c] = gelu(x[r, c] + bias[c]), by its tanh form or exactly.
  void (*bias_gelu)(const float* x, const float* bias, int64_t rows, int64_t C, bool tanh,
                    float* y);
  // The same y again, and in place dy -> the gradient of x; dbias[C] is added to.
  void (*bias_gelu_backward)(const float* x, const float* bias, int64_t rows, int64_t C, bool tanh,
                             float* y, float* dy, float* dbias);

  // out[n, h*D + d]. `scratch` has room for attention_scratch() floats.
  void (*attention)(const AttentionShape& shape, const float* q, const float* k, const float* v,
                    float* out, float* scratch);
  // dq, dk, dv from dout: overwritten; under multi-query dk and dv are sums over the heads.
  void (*attention_backward)(const AttentionShape& shape, const float* q, const float* k,
                             const float* v, const float* dout, float* dq, float* dk, float* dv,
                             float* scratch);

  // m <- beta1 m + (1-beta1) g; v <- beta2 v + (1-beta2) g^2;
  // p <- p - rate (m / correction1) / (sqrt(v / correction2) + eps) - decay p
  void (*adam)(const AdamStep& step, int64_t count, const float* g, float* m, float* v, float* p);
};

constexpr int64_t kWidestLanes = 16;  // floats of the widest register of any set

// Floats of the scratch of attention() and attention_backward(): impl/attention_training.h,
// Scratch.
static constexpr int64_t attention_scratch(const AttentionShape& shape) {
  const int64_t n = shape.tokens, d = shape.head_dim;
  const int64_t np = n + kWidestLanes, dp = d + kWidestLanes;
  return 2 * n * np + d * np + n * dp;
}

}  // namespace nestvit::kernels

// The loops of a training step between the matrix products, forward and backward, compiled once
// per instruction set. Each call works on one thread. All arrays are f32 and row-major; a leading
// dimension (ld) is the distance between rows. Reference.md A has the formulas; tests compare every
// set with double precision.
#pragma once

#include <cstdint>

namespace nestvit::kernels {

// Attention inside ONE block of N tokens: softmax(q k^T / sqrt(D)) v, for each of H heads. Head h
// has columns [h*D, h*D + D) of q, and the same columns of k and v if kv_heads is H. If kv_heads is
// 1 (multi-query), all heads share columns [0, D) of k and v.
struct AttentionShape {
  int64_t tokens, heads, head_dim, kv_heads;
  int64_t ld;      // of q, k, v and their gradients, which are columns of one array
  int64_t ld_out;  // of the output and its gradient, [N, >= H*D]
};

// One step of Adam on values with the same settings; reference.md F.1.
struct AdamStep {
  float beta1, beta2, eps;
  // Computed in double: 1 - beta2 in float is off by 1e-5 of itself.
  float one_minus_beta1, one_minus_beta2;
  float correction1, correction2;  // 1 - beta^t
  float rate;                      // learning rate
  float decay;                     // rate * weight decay
};

struct TrainingKernels {
  const char* name;  // of the instruction set

  // y[r] = (x[r] - mean) / sqrt(variance + eps) * gamma + beta over the C values of each row.
  void (*layer_norm)(const float* x, int64_t rows, int64_t C, const float* gamma, const float* beta,
                     float eps, float* y);
  // From dy, the gradient of y above: dx[r] = skip[r] + the gradient of x[r]. Adds to dgamma[C] and
  // dbeta[C]. dx may be dy or skip.
  void (*layer_norm_backward)(const float* x, const float* dy, const float* skip, int64_t rows,
                              int64_t C, const float* gamma, float eps, float* dx, float* dgamma,
                              float* dbeta);

  // x[r, c] += bias[c]
  void (*add_bias)(float* x, int64_t rows, int64_t C, const float* bias);
  // y[r, c] = x[r, c] + scale * (branch[r, c] + bias[c])
  void (*add_branch)(const float* x, const float* branch, const float* bias, float scale,
                     int64_t rows, int64_t C, float* y);
  // y[r, c] = scale * x[r, c] and sum[c] += y[r, c]
  void (*scale_and_sum)(const float* x, float scale, int64_t rows, int64_t C, float* y, float* sum);
  // sum[c] += x[r, c]
  void (*sum_rows)(const float* x, int64_t rows, int64_t C, float* sum);

  // y[r, c] = gelu(x[r, c] + bias[c]), in the tanh form or exactly.
  void (*bias_gelu)(const float* x, const float* bias, int64_t rows, int64_t C, bool tanh,
                    float* y);
  // Computes the same y again and replaces dy by the gradient of x. Adds to dbias[C].
  void (*bias_gelu_backward)(const float* x, const float* bias, int64_t rows, int64_t C, bool tanh,
                             float* y, float* dy, float* dbias);

  // out[n, h*D + d]. `scratch` has attention_scratch() floats.
  void (*attention)(const AttentionShape& shape, const float* q, const float* k, const float* v,
                    float* out, float* scratch);
  // Overwrites dq, dk and dv with the gradients from dout. Under multi-query dk and dv are sums
  // over the heads. Where dq is null the weights count as constants: only dv is computed.
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

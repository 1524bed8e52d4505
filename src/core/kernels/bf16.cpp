// Mixed-precision products in plain C++: the reference of isa/bf16_avx512.cpp. Not in isa/, since
// it uses <cmath> and base/half.h; it is compiled for every processor.
#include "kernels/bf16.h"

#include <algorithm>
#include <cmath>

#include "base/number/half.h"
#include "kernels/isa/tables.h"

namespace nestvit::kernels {
namespace {

// x [count, k], or [k, count] if `transposed`, into panels of `panel` along `count`.
void pack(const float* x, bool transposed, int64_t count, int64_t k, int64_t panel,
          uint32_t* packed) {
  const auto rounded = [&](int64_t i, int64_t p) -> uint32_t {
    if (i >= count || p >= k) return 0;
    return f32_to_bf16(x[transposed ? p * count + i : i * k + p]);
  };
  for (int64_t start = 0; start < count; start += panel)
    for (int64_t p = 0; p < k; p += 2)
      for (int64_t i = start; i < start + panel; ++i)
        *packed++ = rounded(i, p) | rounded(i, p + 1) << 16;
}

void pack_left(Operand a, int64_t m, int64_t k, uint32_t* packed) {
  pack(a.data, a.transposed, m, k, kLeftPanel, packed);
}

void pack_right(Operand b, int64_t k, int64_t n, uint32_t* packed) {
  pack(b.data, !b.transposed, n, k, kRightPanel, packed);
}

float product_of(uint32_t x, uint32_t y) {
  const auto low = [](uint32_t pair) { return bf16_to_f32(static_cast<uint16_t>(pair)); };
  const auto high = [](uint32_t pair) { return bf16_to_f32(static_cast<uint16_t>(pair >> 16)); };
  return low(x) * low(y) + high(x) * high(y);
}

void gemm(const uint32_t* a, const uint32_t* b, int64_t m, int64_t n, int64_t k, bool add,
          float* c) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      const uint32_t* left = a + i / kLeftPanel * kLeftPanel * pairs + i % kLeftPanel;
      const uint32_t* right = b + j / kRightPanel * kRightPanel * pairs + j % kRightPanel;
      float sum = 0;
      for (int64_t p = 0; p < pairs; ++p)
        sum += product_of(left[p * kLeftPanel], right[p * kRightPanel]);
      c[i * n + j] = add ? c[i * n + j] + sum : sum;
    }
}

void round(const float* x, int64_t pairs, uint32_t* packed) {
  for (int64_t i = 0; i < pairs; ++i)
    packed[i] = f32_to_bf16(x[2 * i]) | static_cast<uint32_t>(f32_to_bf16(x[2 * i + 1])) << 16;
}

void gemm_rows(const Bf16GemmRows& p) {
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) {
      const uint32_t* right =
          p.weight + j / kRightPanel * kRightPanel * p.tap_count * p.width + j % kRightPanel;
      float sum = p.bias[j];
      for (int64_t t = 0; t < p.tap_count; ++t)
        for (int64_t q = 0; q < p.width; ++q, right += kRightPanel)
          sum += product_of(p.a[i * p.lda + p.taps[t] + q], *right);
      float& c = p.c[i * p.ldc + j];
      c = p.add ? c + sum : sum;
    }
}

float rounded(float x) { return bf16_to_f32(f32_to_bf16(x)); }

void attend(const AttentionShape& s, const float* q, int64_t queries, const float* k,
            const float* v, float* out, float* scratch) {
  const int64_t N = s.tokens, D = s.head_dim;
  const float scale = 1 / std::sqrt(static_cast<float>(D));
  float* scores = scratch;
  for (int64_t h = 0; h < s.heads; ++h)
    for (int64_t r = 0; r < queries; ++r) {
      const int64_t kv = s.kv_heads > 1 ? h * D : 0;
      const float* query = q + r * s.ld + h * D;
      float largest = -INFINITY, sum = 0;
      for (int64_t n = 0; n < N; ++n) {
        scores[n] = 0;
        for (int64_t d = 0; d < D; ++d)
          scores[n] += rounded(query[d]) * rounded(k[n * s.ld + kv + d]);
        largest = std::max(largest, scores[n]);
      }
      for (int64_t n = 0; n < N; ++n) sum += scores[n] = std::exp(scale * (scores[n] - largest));
      for (int64_t d = 0; d < D; ++d) {
        float mixed = 0;
        for (int64_t n = 0; n < N; ++n) mixed += rounded(scores[n]) * rounded(v[n * s.ld + kv + d]);
        out[r * s.ld_out + h * D + d] = mixed / sum;
      }
    }
}

}  // namespace

constinit const Bf16Kernels kBf16Plain = {
    .name = "plain",
    .pack_left = pack_left,
    .pack_right = pack_right,
    .round = round,
    .gemm_rows = gemm_rows,
    .attend = attend,
    .gemm = gemm,
};

}  // namespace nestvit::kernels

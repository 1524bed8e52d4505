// Attention inside a block in f32: the Type for attention.h.
#pragma once

#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

#include "kernels/impl/attention.h"
#include "kernels/impl/attention_training.h"

namespace nestvit::kernels {
namespace {

// 2^t in two instructions of AVX-512 instead of power_of_two's five. Does not clamp t to -125, so
// the thread has to flush denormals.
inline Vec weight_of(Vec t) {
#if defined(__AVX512DQ__)
  // With masks of all ones: g++ 12 warns of undefined registers in the forms without a mask.
  const auto r = static_cast<Vec>(_mm512_maskz_reduce_ps(
      0xffff, static_cast<__m512>(t), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  return static_cast<Vec>(_mm512_maskz_scalef_ps(0xffff, static_cast<__m512>(power_of_fraction(r)),
                                                 static_cast<__m512>(t - r)));
#else
  return power_of_two(t);
#endif
}

struct InF32 {
  using Word = float;
  static constexpr int64_t words(int64_t n) { return n; }
  static Vec add(const Vec& sum, float left, const float* right) {
    return sum + left * load(right);
  }
  static Rows<float> queries(const float* q, const AttentionShape& s, int64_t, float*) {
    return {q, s.ld};
  }
  static void keys(const float* k, const AttentionShape& s, int64_t np, float* to) {
    transpose(k, s.ld, s.tokens, s.head_dim, np, to);
  }
  // Copied even if D is whole registers: rows that are a multiple of many cache lines apart evict
  // each other from the first-level cache.
  static void values(const float* v, const AttentionShape& s, int64_t dp, float* to) {
    const int64_t D = s.head_dim, whole = D / kLanes * kLanes;
    for (int64_t n = 0; n < s.tokens; ++n, v += s.ld, to += dp) {
      for (int64_t d = 0; d < whole; d += kLanes) store(load(v + d), to + d);
      for (int64_t d = whole; d < dp; ++d) to[d] = d < D ? v[d] : 0;
    }
  }
  static float exp_weights(float* x, int64_t np, float factor, float largest) {
    Vec sums{};
    for (int64_t c = 0; c < np; c += kLanes) {
      // The difference first: rounding then leaves no exponent above 0, however large scores are.
      const Vec value = weight_of(factor * (load(x + c) - largest));
      sums += value;
      store(value, x + c);
    }
    return sum_of(sums);
  }
};

}  // namespace
}  // namespace nestvit::kernels

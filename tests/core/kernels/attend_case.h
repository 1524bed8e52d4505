// Attention of the last two thirds of a block's tokens: random operands, and the result in double
// precision.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/inference.h"
#include "support/random_floats.h"

namespace nestvit::testing {

struct AttendCase {
  static constexpr int64_t kHeads = 2;
  static constexpr float kBeside = 7;  // fills `out` before the call, and beside it afterwards

  int64_t N, D, kv_heads, C, first, queries;
  kernels::AttentionShape shape;
  std::vector<float> qkv, out;

  // Adds `shift` to every score, which changes no result: the first value of every query, and that
  // of every key, becomes a constant.
  AttendCase(int64_t tokens, int64_t head_dim, int64_t kv, float shift = 0)
      : N(tokens),
        D(head_dim),
        kv_heads(kv),
        C(kHeads * D),
        first(N / 3),
        queries(N - first),
        shape{N, kHeads, D, kv_heads, C + 2 * kv_heads * D + 3, C + 1},
        qkv(random_floats(N * shape.ld, static_cast<uint64_t>(N * 100 + D))),
        out(static_cast<size_t>(N * shape.ld_out), kBeside) {
    if (shift == 0) return;
    for (int64_t i = 0; i < N; ++i) {
      for (int64_t h = 0; h < kHeads; ++h) qkv[i * shape.ld + h * D] = 8;
      for (int64_t h = 0; h < kv_heads; ++h)
        qkv[i * shape.ld + C + h * D] = shift * std::sqrt(static_cast<float>(D)) / 8;
    }
  }

  // Makes scores so large, by a power of two, that of each query's weights only the largest is
  // left.
  void magnify_scores() {
    constexpr float kFactor = 1 << 20;
    for (int64_t i = 0; i < N; ++i)
      for (int64_t c = 0; c < C + kv_heads * D; ++c) qkv[i * shape.ld + c] *= kFactor;
  }
  // The token whose key has the largest score of query i in head h.
  template <class Rounded>
  int64_t nearest(int64_t h, int64_t i, const Rounded& rounded) const {
    const int64_t at = kv_heads == 1 ? 0 : h * D;
    std::vector<double> scores(N);
    for (int64_t j = 0; j < N; ++j)
      for (int64_t d = 0; d < D; ++d)
        scores[j] += rounded(q()[i * shape.ld + h * D + d]) * rounded(k()[j * shape.ld + at + d]);
    return std::max_element(scores.begin(), scores.end()) - scores.begin();
  }
  float value(int64_t h, int64_t token, int64_t d) const {
    return v()[token * shape.ld + (kv_heads == 1 ? 0 : h * D) + d];
  }

  const float* q() const { return qkv.data() + first * shape.ld; }
  const float* k() const { return qkv.data() + C; }
  const float* v() const { return k() + kv_heads * D; }
  float got(int64_t h, int64_t i, int64_t d) const { return out[i * shape.ld_out + h * D + d]; }
  float beside(int64_t i) const { return out[i * shape.ld_out + C]; }

  struct Expected {
    std::vector<double> values;  // [D]
    std::vector<double> sizes;   // the same sums over |v|
  };
  // The result for query i in head h, with operands rounded by `rounded`.
  template <class Rounded>
  Expected expected(int64_t h, int64_t i, const Rounded& rounded) const {
    const int64_t ld = shape.ld, at = kv_heads == 1 ? 0 : h * D;
    Expected e{std::vector<double>(D), std::vector<double>(D)};
    std::vector<double> weights(N);
    double sum = 0;
    for (int64_t j = 0; j < N; ++j) {
      double dot = 0;
      for (int64_t d = 0; d < D; ++d)
        dot += rounded(q()[i * ld + h * D + d]) * rounded(k()[j * ld + at + d]);
      sum += weights[j] = std::exp(dot / std::sqrt(static_cast<double>(D)));
    }
    for (int64_t j = 0; j < N; ++j)
      for (int64_t d = 0; d < D; ++d) {
        const double value = rounded(v()[j * ld + at + d]);
        e.values[d] += weights[j] / sum * value;
        e.sizes[d] += weights[j] / sum * std::fabs(value);
      }
    return e;
  }
};

// `kernel` has attend(), which rounds its operands by `rounded`.
template <class Kernels, class Rounded>
void expect_the_largest_of_huge_scores(const Kernels& kernel, const Rounded& rounded) {
  for (const int64_t D : {16, 50}) {
    AttendCase c(33, D, 2);
    c.magnify_scores();
    std::vector<float> scratch(kernels::attend_scratch(c.shape), NAN);
    kernel.attend(c.shape, c.q(), c.queries, c.k(), c.v(), c.out.data(), scratch.data());
    for (int64_t h = 0; h < c.kHeads; ++h)
      for (int64_t i = 0; i < c.queries; ++i)
        for (int64_t d = 0; d < D; ++d) {
          const double want = rounded(c.value(h, c.nearest(h, i, rounded), d));
          ASSERT_NEAR(c.got(h, i, d), want,
                      2 * std::numeric_limits<float>::epsilon() * std::fabs(want))
              << "head " << h << ", query " << i;
        }
  }
}

// A query's values do not depend on the queries beside it.
template <class Kernels>
void expect_the_same_anywhere(const Kernels& kernel, const std::vector<int64_t>& head_dims) {
  for (const int64_t D : head_dims) {
    AttendCase all(100, D, 2);
    std::vector<float> scratch(kernels::attend_scratch(all.shape), NAN), one(all.out.size());
    kernel.attend(all.shape, all.q(), all.queries, all.k(), all.v(), all.out.data(),
                  scratch.data());
    for (int64_t i = 0; i < all.queries; ++i) {
      kernel.attend(all.shape, all.q() + i * all.shape.ld, 1, all.k(), all.v(), one.data(),
                    scratch.data());
      for (int64_t c = 0; c < all.C; ++c)
        ASSERT_EQ(one[c], all.out[i * all.shape.ld_out + c]) << "query " << i << ", D " << D;
    }
  }
}

}  // namespace nestvit::testing

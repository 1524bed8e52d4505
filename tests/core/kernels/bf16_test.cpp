// Every set of mixed-precision kernels against double precision on
// operands rounded by half.h, for sizes with every remainder of a panel.
#include "kernels/bf16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/number/half.h"
#include "core/kernels/attend_case.h"
#include "core/kernels/sets.h"
#include "kernels/dispatch.h"
#include "support/random_floats.h"

namespace nestvit::kernels {
namespace {

using Floats = std::vector<float>;

using nestvit::testing::AttendCase;
using nestvit::testing::expect_the_largest_of_huge_scores;
using nestvit::testing::expect_the_same_anywhere;
using nestvit::testing::random_floats;

struct Size {
  int64_t m, n, k;
};

std::vector<Size> sizes() {
  std::vector<Size> all = {{256, 576, 192}, {1, 1, 1}, {196, 96, 384}, {49, 48, 33}};
  for (const int64_t m : {7, 8, 9, 16, 17})
    for (const int64_t n : {15, 47, 49, 96})
      for (const int64_t k : {1, 2, 31, 32, 35, 64}) all.push_back({m, n, k});
  return all;
}

class Bf16 : public nestvit::testing::SetTest<Bf16Kernels> {
 protected:
  Bf16() : SetTest(bf16_kernels()) {}

  // NaN fills the packed operands first, so that a value that packing does not write shows.
  Floats multiply(Operand a, Operand b, const Size& s, bool add, Floats c) {
    constexpr uint32_t kNans = 0xffffffffu;
    std::vector<uint32_t> left(bf16_left_size(s.m, s.k), kNans),
        right(bf16_right_size(s.k, s.n), kNans);
    kernel.pack_left(a, s.m, s.k, left.data());
    kernel.pack_right(b, s.k, s.n, right.data());
    kernel.gemm(left.data(), right.data(), s.m, s.n, s.k, add, c.data());
    return c;
  }
};

TEST_P(Bf16, EqualsDoublePrecisionOfRoundedOperands) {
  const auto rounded = [](float x) { return double{bf16_to_f32(f32_to_bf16(x))}; };
  for (const Size& s : sizes())
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true})
        for (const bool add : {false, true}) {
          const Floats a = random_floats(s.m * s.k, 1), b = random_floats(s.k * s.n, 2);
          constexpr float kBeside = 7;
          Floats c = random_floats(s.m * s.n, 3);
          c.push_back(kBeside);
          const Floats got = multiply({a.data(), transpose_a}, {b.data(), transpose_b}, s, add, c);
          EXPECT_EQ(got.back(), kBeside);
          for (int64_t i = 0; i < s.m; ++i)
            for (int64_t j = 0; j < s.n; ++j) {
              double want = add ? c[i * s.n + j] : 0, terms = std::fabs(want);
              for (int64_t p = 0; p < s.k; ++p) {
                const double term = rounded(a[transpose_a ? p * s.m + i : i * s.k + p]) *
                                    rounded(b[transpose_b ? j * s.k + p : p * s.n + j]);
                want += term;
                terms += std::fabs(term);
              }
              // Each of the k additions rounds by at most 2^-24 of the partial sum.
              const double bound =
                  std::numeric_limits<float>::epsilon() * static_cast<double>(s.k + 2) * terms;
              ASSERT_NEAR(got[i * s.n + j], want, bound)
                  << s.m << " x " << s.n << " x " << s.k << ", transposed " << transpose_a
                  << transpose_b << add;
            }
        }
}

// Rows of one tap, and rows of nine taps in a plane with a border.
TEST_P(Bf16, GemmRowsEqualsDoublePrecision) {
  const auto rounded = [](float x) { return double{bf16_to_f32(f32_to_bf16(x))}; };
  const std::vector<int64_t> one = {0}, nine = {0, 3, 6, 30, 33, 36, 60, 63, 66};  // in pairs
  for (const auto& [taps, width] : {std::pair{one, int64_t{20}}, {nine, int64_t{3}}})
    for (const int64_t m : {1, 3, 7, 8, 13})
      for (const int64_t n : {1, 47, 48, 50})
        for (const bool add : {false, true}) {
          const int64_t lda = width, pairs = (m - 1) * lda + taps.back() + width, ldc = n + 1;
          const int64_t k = 2 * width * static_cast<int64_t>(taps.size());
          const Floats a = random_floats(2 * pairs, 1), weight = random_floats(n * k, 2);
          Floats bias = random_floats(n, 3), before = random_floats(m * ldc, 4), c = before;
          bias.resize((n + kRightPanel - 1) / kRightPanel * kRightPanel);
          std::vector<uint32_t> rows(pairs), panels(bf16_right_size(k, n));
          kernel.round(a.data(), pairs, rows.data());
          kernel.pack_right({weight.data(), true}, k, n, panels.data());
          kernel.gemm_rows({.a = rows.data(),
                            .lda = lda,
                            .taps = taps.data(),
                            .tap_count = static_cast<int64_t>(taps.size()),
                            .width = width,
                            .weight = panels.data(),
                            .bias = bias.data(),
                            .m = m,
                            .n = n,
                            .add = add,
                            .c = c.data(),
                            .ldc = ldc});
          for (int64_t i = 0; i < m; ++i) {
            EXPECT_EQ(c[i * ldc + n], before[i * ldc + n]);
            for (int64_t j = 0; j < n; ++j) {
              double want = bias[j] + (add ? before[i * ldc + j] : 0.0), terms = 4;
              for (size_t t = 0; t < taps.size(); ++t)
                for (int64_t p = 0; p < 2 * width; ++p) {
                  const double term =
                      rounded(a[2 * (i * lda + taps[t]) + p]) *
                      rounded(weight[j * k + static_cast<int64_t>(t) * 2 * width + p]);
                  want += term;
                  terms += std::fabs(term);
                }
              ASSERT_NEAR(c[i * ldc + j], want,
                          std::numeric_limits<float>::epsilon() * static_cast<double>(k) * terms)
                  << m << " x " << n << " taps " << taps.size();
            }
          }
        }
}

TEST_P(Bf16, AttendEqualsDoublePrecisionOfRoundedOperands) {
  for (const float shift : {0.0f, -120.0f})
    for (const int64_t N : {1, 4, 9, 16, 33, 50, 70, 196})
      for (const int64_t D : {1, 5, 16, 32, 50})
        for (const int64_t kv_heads : {1, 2}) {
          AttendCase c(N, D, kv_heads, shift);
          Floats scratch(attend_scratch(c.shape), NAN);
          kernel.attend(c.shape, c.q(), c.queries, c.k(), c.v(), c.out.data(), scratch.data());
          // A weight is rounded by 2^-8 of itself. Its exponential and the sum of the weights are
          // off by 1e-4 each, and by the rounding of the scores.
          const double off = 1.0 / 256 + 3e-4 +
                             2 * std::numeric_limits<float>::epsilon() * std::fabs(shift) *
                                 static_cast<double>(8 + D);
          for (int64_t h = 0; h < c.kHeads; ++h)
            for (int64_t i = 0; i < c.queries; ++i) {
              const auto want =
                  c.expected(h, i, [](float x) { return double{bf16_to_f32(f32_to_bf16(x))}; });
              for (int64_t d = 0; d < D; ++d)
                ASSERT_NEAR(c.got(h, i, d), want.values[d], off * want.sizes[d])
                    << N << " " << D << " " << kv_heads << ", scores " << shift;
            }
          for (int64_t i = 0; i < N; ++i) EXPECT_EQ(c.beside(i), c.kBeside);
        }
}

TEST_P(Bf16, AttendOfHugeScoresTakesTheLargest) {
  expect_the_largest_of_huge_scores(kernel,
                                    [](float x) { return double{bf16_to_f32(f32_to_bf16(x))}; });
}

TEST_P(Bf16, AttendOfAQueryIsTheSameAnywhere) { expect_the_same_anywhere(kernel, {32}); }

// Ties go to even; infinity and NaN stay what they are.
TEST_P(Bf16, RoundsAsHalfDoes) {
  const float tie_down = f32_from_bits(0x3f808000), tie_up = f32_from_bits(0x3f818000);
  const Floats values = {tie_down,
                         tie_up,
                         -tie_up,
                         1e-3f,
                         3.4028235e38f,
                         std::numeric_limits<float>::infinity(),
                         0,
                         f32_from_bits(0x3f808001)};
  const Floats one = {1};
  for (const float value : values) {
    const Floats x = {value};
    const Floats got = multiply({x.data()}, {one.data()}, {1, 1, 1}, false, {0});
    EXPECT_EQ(got[0], bf16_to_f32(f32_to_bf16(value))) << value;
  }
  const Floats nan = {std::numeric_limits<float>::quiet_NaN()};
  EXPECT_TRUE(std::isnan(multiply({nan.data()}, {one.data()}, {1, 1, 1}, false, {0})[0]));
}

INSTANTIATE_TEST_SUITE_P(Sets, Bf16, nestvit::testing::bf16_sets(), nestvit::testing::set_name);

}  // namespace
}  // namespace nestvit::kernels

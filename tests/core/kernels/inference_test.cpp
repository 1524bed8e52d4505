// Every set of inference kernels against definitions in double precision,
// for sizes with every remainder of a vector, a panel and a tile.
#include "kernels/inference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "core/kernels/attend_case.h"
#include "core/kernels/sets.h"
#include "kernels/dispatch.h"
#include "support/random_floats.h"

namespace nestvit::kernels {
namespace {

constexpr double kEps = std::numeric_limits<float>::epsilon();
using Floats = std::vector<float>;

using nestvit::testing::AttendCase;
using nestvit::testing::expect_the_largest_of_huge_scores;
using nestvit::testing::expect_the_same_anywhere;
using nestvit::testing::random_floats;

class Inference : public nestvit::testing::SetTest<InferenceKernels> {
 protected:
  Inference() : SetTest(inference_kernels()) {}

  Floats packed(const Floats& weight, int64_t n, int64_t k) {
    Floats result(packed_size(kernel, n, k), NAN);
    for (int64_t j = 0; j < n; j += kernel.panel)
      kernel.pack(weight.data() + j * k, std::min(kernel.panel, n - j), k, result.data() + j * k);
    return result;
  }
};

// A linear layer on dense rows.
struct Linear {
  const float* a;
  int64_t width;
  const float *weight, *bias;
  int64_t m, n;
  bool add = false;
  float* c;
};

Gemm one_tap(const Linear& l) {
  static constexpr int64_t kTap = 0;
  return {.a = l.a,
          .lda = l.width,
          .taps = &kTap,
          .tap_count = 1,
          .width = l.width,
          .weight = l.weight,
          .bias = l.bias,
          .m = l.m,
          .n = l.n,
          .add = l.add,
          .c = l.c,
          .ldc = l.n};
}

struct Size {
  int64_t m, n, width;
  std::vector<int64_t> taps;
};

std::vector<Size> sizes() {
  std::vector<Size> all = {{49, 96, 33, {0}}, {7, 50, 5, {0, 5, 10, 35, 40, 45, 70, 75, 80}}};
  for (const int64_t m : {1, 2, 3, 4, 7, 8, 9, 13})
    for (const int64_t n : {1, 11, 12, 13, 24, 47, 48, 49}) all.push_back({m, n, 17, {0}});
  return all;
}

TEST_P(Inference, GemmEqualsDoublePrecision) {
  for (const Size& s : sizes())
    for (const bool add : {false, true}) {
      const int64_t k = s.width * static_cast<int64_t>(s.taps.size());
      const int64_t lda = s.taps.size() == 1 ? s.width + 3 : s.width, ldc = s.n + 2;
      const Floats a = random_floats((s.m - 1) * lda + s.taps.back() + s.width, 1),
                   weight = random_floats(s.n * k, 2), before = random_floats(s.m * ldc, 3);
      Floats bias = random_floats(s.n, 4), c = before;
      bias.resize(packed_columns(kernel, s.n), NAN);
      const Floats panels = packed(weight, s.n, k);
      kernel.gemm({.a = a.data(),
                   .lda = lda,
                   .taps = s.taps.data(),
                   .tap_count = static_cast<int64_t>(s.taps.size()),
                   .width = s.width,
                   .weight = panels.data(),
                   .bias = bias.data(),
                   .m = s.m,
                   .n = s.n,
                   .add = add,
                   .c = c.data(),
                   .ldc = ldc});
      for (int64_t i = 0; i < s.m; ++i)
        for (int64_t j = 0; j < ldc; ++j) {
          const float old = before[i * ldc + j], got = c[i * ldc + j];
          if (j >= s.n) {
            ASSERT_EQ(got, old) << "beside the result";
            continue;
          }
          double want = bias[j] + (add ? old : 0.0), terms = std::fabs(want) + std::fabs(old);
          for (size_t t = 0; t < s.taps.size(); ++t)
            for (int64_t p = 0; p < s.width; ++p) {
              const double term = double{a[i * lda + s.taps[t] + p]} *
                                  weight[j * k + static_cast<int64_t>(t) * s.width + p];
              want += term;
              terms += std::fabs(term);
            }
          // Each of the additions rounds by at most 2^-24 of the partial sum.
          ASSERT_NEAR(got, want, kEps * static_cast<double>(k + 3) * terms)
              << s.m << " x " << s.n << ", " << s.taps.size() << " taps, add " << add;
        }
    }
}

// A row's result does not depend on the rows beside it.
TEST_P(Inference, GemmOfARowIsTheSameAnywhere) {
  constexpr int64_t kRows = 13, kWidth = 40, kColumns = 60;
  const Floats a = random_floats(kRows * kWidth, 1), weight = random_floats(kColumns * kWidth, 2);
  const Floats bias(packed_columns(kernel, kColumns)), panels = packed(weight, kColumns, kWidth);
  Floats all(kRows * kColumns), one(kColumns);
  const auto gemm = [&](int64_t row, int64_t rows, Floats& c) {
    kernel.gemm(one_tap({.a = a.data() + row * kWidth,
                         .width = kWidth,
                         .weight = panels.data(),
                         .bias = bias.data(),
                         .m = rows,
                         .n = kColumns,
                         .c = c.data()}));
  };
  gemm(0, kRows, all);
  for (int64_t i = 0; i < kRows; ++i) {
    gemm(i, 1, one);
    EXPECT_THAT(one, ::testing::ElementsAreArray(&all[i * kColumns], kColumns)) << i;
  }
}

// A linear layer: before [m, n] + bias [n] + a [m, k] W^T, for W [n, k].
struct LinearCase {
  int64_t m, n, k;
  Floats a, weight, bias, before;

  LinearCase(int64_t rows, int64_t columns, int64_t width)
      : m(rows),
        n(columns),
        k(width),
        a(random_floats(m * k, 1)),
        weight(random_floats(n * k, 2)),
        bias(random_floats(n, 3)),
        before(random_floats(m * n, 4)) {}

  // The root of the mean square of the error of `got`.
  double error(const Floats& got) const {
    double squares = 0;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double want = double{before[i * n + j]} + bias[j];
        for (int64_t p = 0; p < k; ++p) want += double{a[i * k + p]} * weight[j * k + p];
        squares += (got[i * n + j] - want) * (got[i * n + j] - want);
      }
    return std::sqrt(squares / static_cast<double>(m * n));
  }
};

// Among them: two slices of k (1024), widths whose halves do not fill registers (33, 48), and one
// whose slices' halves do not (544).
const std::vector<int64_t> kStrassenWidths = {32, 33, 48, 96, 384, 544, 1024};

TEST_P(Inference, StrassenRoundsLittleMoreThanGemm) {
  for (const int64_t k : kStrassenWidths)
    for (const auto& [m, n] : {std::pair<int64_t, int64_t>{4, 96}, {16, 192}, {23, 210}, {3, 50}}) {
      LinearCase c(m, n, k);
      const Floats panels = packed(c.weight, n, k);
      Floats direct = c.before, halved = c.before, bias = c.bias;
      bias.resize(packed_columns(kernel, n));
      Floats scratch(kernel.strassen_scratch(m, k), NAN);
      Gemm p = one_tap({.a = c.a.data(),
                        .width = k,
                        .weight = panels.data(),
                        .bias = bias.data(),
                        .m = m,
                        .n = n,
                        .add = true,
                        .c = direct.data()});
      kernel.gemm(p);
      p.c = halved.data();
      kernel.strassen(p, scratch.data());
      // The sums have 1.5 k terms instead of k, of operands that are sums of up to four: about 2.3
      // times the error for random numbers.
      EXPECT_LE(c.error(halved), 3 * c.error(direct)) << m << " x " << n << " x " << k;
      // And without `add`.
      for (float& x : c.before) x = 0;
      p.add = false;
      kernel.strassen(p, scratch.data());
      EXPECT_LE(c.error(halved), 3 * c.error(direct) + 1e-5) << m << " x " << n << " x " << k;
    }
}

// A group of four rows has the same result at any position, whatever comes before and after it.
TEST_P(Inference, StrassenOfFourRowsIsTheSameAnywhere) {
  for (const int64_t k : {96, 1024}) {
    const LinearCase c(28, 192, k);
    const Floats panels = packed(c.weight, c.n, k);
    Floats all(c.m * c.n), scratch(kernel.strassen_scratch(c.m, k), NAN);
    Gemm p = one_tap({.a = c.a.data(),
                      .width = k,
                      .weight = panels.data(),
                      .bias = c.bias.data(),
                      .m = c.m,
                      .n = c.n,
                      .c = all.data()});
    kernel.strassen(p, scratch.data());
    for (const auto& [first, rows] : {std::pair<int64_t, int64_t>{0, 4}, {4, 8}, {8, 20}}) {
      Floats part(rows * c.n);
      p.a = c.a.data() + first * k;
      p.m = rows;
      p.c = part.data();
      kernel.strassen(p, scratch.data());
      EXPECT_THAT(part, ::testing::ElementsAreArray(&all[first * c.n], part.size())) << first;
    }
  }
}

double gelu_of(double v, bool tanh) {
  const double cubic = std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v);
  return 0.5 * v * (1 + (tanh ? std::tanh(cubic) : std::erf(v / std::numbers::sqrt2)));
}

TEST_P(Inference, Gelu) {
  for (const bool tanh : {false, true})
    for (const int64_t count : {1, 15, 16, 33}) {
      Floats x = random_floats(count, 5, 3);
      x[0] = count == 15 ? -100.0f : 100.0f;
      Floats y = x;
      kernel.gelu(y.data(), 1, count, tanh);
      for (int64_t i = 0; i < count; ++i)
        EXPECT_NEAR(y[i], gelu_of(x[i], tanh), 8 * kEps * std::max(1.0, std::fabs(double{x[i]})))
            << x[i];
    }
}

// The quotient gelu(h) / h is the gate, which is 1/2 at 0 and finite everywhere.
TEST_P(Inference, GeluGate) {
  for (const bool tanh : {false, true})
    for (const int64_t count : {2, 15, 16, 33}) {
      Floats h = random_floats(count, 5, 3);
      const Floats before = random_floats(count, 6);
      h[0] = count == 15 ? -100.0f : 100.0f;
      h[1] = 0;
      Floats dy = before;
      kernel.gelu_gate(h.data(), 1, count, tanh, dy.data());
      for (int64_t i = 0; i < count; ++i) {
        const double gate = i == 1 ? 0.5 : gelu_of(h[i], tanh) / h[i];
        EXPECT_NEAR(dy[i], before[i] * gate, 8 * kEps * std::fabs(double{before[i]})) << h[i];
      }
    }
}

TEST_P(Inference, ApproxGeluIsNearerThanRoundingToBf16) {
  for (const bool tanh : {false, true}) {
    Floats x;
    for (int i = -12000; i <= 12000; ++i) x.push_back(static_cast<float>(i) / 1000);
    x.insert(x.end(), {-3e38f, 3e38f});
    Floats y = x;
    kernel.gelu_approx(y.data(), 1, static_cast<int64_t>(x.size()), tanh);
    for (size_t i = 0; i < x.size(); ++i)
      EXPECT_NEAR(y[i], gelu_of(x[i], tanh), 1.7e-4 * std::max(1.0, std::fabs(double{x[i]}) / 4))
          << x[i];
  }
}

TEST_P(Inference, AttendEqualsDoublePrecision) {
  // With scores far below 0, so that the padding of the tokens must not become the largest score.
  for (const float shift : {0.0f, -120.0f})
    for (const int64_t N : {1, 4, 9, 16, 33, 50, 70, 100, 196})
      for (const int64_t D : {1, 5, 16, 32, 48, 50})
        for (const int64_t kv_heads : {1, 2}) {
          AttendCase c(N, D, kv_heads, shift);
          Floats scratch(attend_scratch(c.shape), NAN);
          kernel.attend(c.shape, c.q(), c.queries, c.k(), c.v(), c.out.data(), scratch.data());
          // Each sum rounds by its length; a shifted score rounds by its size.
          const double terms =
              static_cast<double>(16 + N + D) + std::fabs(shift) * static_cast<double>(8 + D);
          for (int64_t h = 0; h < c.kHeads; ++h)
            for (int64_t i = 0; i < c.queries; ++i) {
              const auto want = c.expected(h, i, [](float x) { return double{x}; });
              for (int64_t d = 0; d < D; ++d)
                ASSERT_NEAR(c.got(h, i, d), want.values[d], kEps * 4 * terms)
                    << N << " tokens of " << D << ", scores " << shift;
            }
          for (int64_t i = 0; i < N; ++i) EXPECT_EQ(c.beside(i), c.kBeside);  // untouched
        }
}

TEST_P(Inference, AttendOfHugeScoresTakesTheLargest) {
  expect_the_largest_of_huge_scores(kernel, [](float x) { return double{x}; });
}

TEST_P(Inference, AttendOfAQueryIsTheSameAnywhere) {
  expect_the_same_anywhere(kernel, {5, 32, 48});
}

TEST_P(Inference, MaxPool) {
  constexpr int64_t kChannels = 19;
  for (const int64_t size : {2, 6, 7})
    for (const int64_t pad : {0, 1}) {
      const Floats map = random_floats(size * size * kChannels, 6);
      const int64_t across = (size + 1) / 2;
      for (int64_t oy = 0; oy < across; ++oy) {
        Floats row(across * kChannels);
        kernel.max_pool(map.data(), size, kChannels, pad, oy, 0, 1, row.data());
        kernel.max_pool(map.data(), size, kChannels, pad, oy, 1, across - 1,
                        row.data() + kChannels);
        for (int64_t ox = 0; ox < across; ++ox)
          for (int64_t c = 0; c < kChannels; ++c) {
            float want = -INFINITY;
            for (int64_t y = 2 * oy - pad; y < 2 * oy - pad + 3; ++y)
              for (int64_t x = 2 * ox - pad; x < 2 * ox - pad + 3; ++x)
                if (y >= 0 && y < size && x >= 0 && x < size)
                  want = std::max(want, map[(y * size + x) * kChannels + c]);
            ASSERT_EQ(row[ox * kChannels + c], want) << size << " " << pad << " " << oy;
          }
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, Inference, nestvit::testing::f32_sets(), nestvit::testing::set_name);

}  // namespace
}  // namespace nestvit::kernels

// Linear layers of each number type against double precision.
#include "runtime/packed/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/isa.h"
#include "support/random_floats.h"

namespace nestvit {
namespace {

using testing::random_floats;
using Floats = std::vector<float>;

bool runs(NumberType precision) {
  return precision != NumberType::kBf16 || kernels::uses(kernels::Isa::kAvx512Bf16);
}

struct Case {
  int64_t m, n, k;
  Floats x, weight, bias;

  Case(int64_t rows, int64_t columns, int64_t width)
      : m(rows),
        n(columns),
        k(width),
        x(random_floats(m * k, 1)),
        weight(random_floats(n * k, 2)),
        bias(random_floats(n, 3)) {}

  double expected(int64_t i, int64_t j) const {
    double sum = bias[j];
    for (int64_t p = 0; p < k; ++p) sum += double{x[i * k + p]} * weight[j * k + p];
    return sum;
  }

  // What rounding can change: sums of k products in f32; before it a bf16 by half a unit of 2^-7,
  // an int8 by half a step of 127 of the largest value of its row or column.
  double bound(int64_t i, int64_t j, NumberType precision) const {
    double terms = std::fabs(bias[j]), row = 0, column = 0, steps = 0;
    for (int64_t p = 0; p < k; ++p) {
      terms += std::fabs(double{x[i * k + p]} * weight[j * k + p]);
      row = std::max<double>(row, std::fabs(x[i * k + p]));
      column = std::max<double>(column, std::fabs(weight[j * k + p]));
    }
    for (int64_t p = 0; p < k; ++p)
      steps += std::fabs(x[i * k + p]) * column / 254 + std::fabs(weight[j * k + p]) * row / 254 +
               row * column / 254 / 254;
    const double sums = std::numeric_limits<float>::epsilon() * static_cast<double>(k + 1) * terms;
    if (precision == NumberType::kBf16) return sums + 1.01 * 2.0 / 256 * terms;
    return precision == NumberType::kInt8 ? sums + steps : sums;
  }
};

// y [m, ldy], of which columns from n on must stay as they were.
void expect_product(const Case& c, const Linear& linear, const Floats& y, int64_t ldy,
                    double before) {
  for (int64_t i = 0; i < c.m; ++i)
    for (int64_t j = 0; j < ldy; ++j) {
      const std::string where = std::to_string(i) + ", " + std::to_string(j);
      if (j >= c.n)
        ASSERT_EQ(y[i * ldy + j], 9) << where;
      else
        ASSERT_NEAR(y[i * ldy + j], c.expected(i, j) + before,
                    c.bound(i, j, linear.precision()) + 1e-6 * std::fabs(before))
            << where;
    }
}

TEST(Linear, EqualsDoublePrecision) {
  for (const NumberType precision : kNumberTypes)
    for (const auto& [m, n, k] :
         {std::tuple{1, 1, 4}, {5, 20, 32}, {7, 48, 36}, {16, 50, 96}, {3, 100, 68}}) {
      if (!runs(precision)) continue;
      SCOPED_TRACE(std::string(number_type_name(precision)) + " " + std::to_string(n));
      const Case c(m, n, k);
      const Linear linear(c.weight, c.bias, n, precision);
      ASSERT_EQ(linear.precision(), precision);
      Floats scratch(m * linear.prepared_row_size());
      const float* rows = linear.prepare_rows(c.x.data(), m, scratch.data());
      const int64_t ldy = n + 3;
      Floats y(m * ldy, 9);
      linear({.x = rows, .m = m, .y = y.data(), .ldy = ldy});
      expect_product(c, linear, y, ldy, 0);
      for (int64_t i = 0; i < m; ++i) std::fill_n(&y[i * ldy], n, 2.0f);
      linear({.x = rows, .m = m, .y = y.data(), .ldy = ldy, .add = true});
      expect_product(c, linear, y, ldy, 2);
    }
}

TEST(Linear, WithoutABiasItIsZero) {
  Case c(4, 20, 32);
  const Linear linear(c.weight, {}, c.n);
  std::fill(c.bias.begin(), c.bias.end(), 0.0f);
  Floats y(c.m * c.n);
  linear({.x = c.x.data(), .m = c.m, .y = y.data(), .ldy = c.n});
  expect_product(c, linear, y, c.n, 0);
}

// A width that does not fill 32-bit words of the type stays f32.
TEST(Linear, OddWidthsStayF32) {
  for (const auto& [precision, k] : {std::pair{NumberType::kBf16, 5}, {NumberType::kInt8, 6}}) {
    const Case c(5, 20, k);
    const Linear linear(c.weight, c.bias, c.n, precision);
    EXPECT_EQ(linear.precision(), NumberType::kF32);
    Floats y(c.m * c.n);
    linear(
        {.x = linear.prepare_rows(c.x.data(), c.m, nullptr), .m = c.m, .y = y.data(), .ldy = c.n});
    expect_product(c, linear, y, c.n, 0);
  }
}

// Rows of the product that are made of rows i, i + 2 and i + 3 of x.
TEST(Linear, TapsReadRowsOfX) {
  const std::vector<int64_t> taps = {0, 2, 3};
  for (const NumberType precision : kNumberTypes) {
    if (!runs(precision)) continue;
    const int64_t width = 32, m = 6, n = 20;
    const Floats x = random_floats((m + 3) * width, 4);
    Case c(m, n, 3 * width);
    for (int64_t i = 0; i < m; ++i)
      for (size_t t = 0; t < taps.size(); ++t)
        std::copy_n(&x[(i + taps[t]) * width], width, &c.x[i * c.k + t * width]);
    const Linear linear(c.weight, c.bias, n, precision, taps);
    Floats scratch((m + 3) * linear.prepared_row_size()), y(m * n);
    linear({.x = linear.prepare_rows(x.data(), m + 3, scratch.data()),
            .m = m,
            .y = y.data(),
            .ldy = n});
    expect_product(c, linear, y, n, 0);
  }
}

// In f32 about twice the rounding of the product, of random numbers (inference_test.cpp); the short
// types answer as operator() does.
TEST(Linear, StrassenIsTheSameProduct) {
  for (const NumberType precision : kNumberTypes) {
    if (!runs(precision)) continue;
    const Case c(20, 96, 64);
    const Linear linear(c.weight, c.bias, c.n, precision);
    Floats scratch(linear.scratch_size(c.m)), direct(c.m * c.n), halved(c.m * c.n);
    Floats prepared(c.m * linear.prepared_row_size());
    linear({.x = linear.prepare_rows(c.x.data(), c.m, prepared.data()),
            .m = c.m,
            .y = direct.data(),
            .ldy = c.n});
    linear.strassen({.x = c.x.data(), .m = c.m, .y = halved.data(), .ldy = c.n}, scratch.data());
    if (precision != NumberType::kF32) {
      EXPECT_EQ(halved, direct) << number_type_name(precision);
      continue;
    }
    double of_direct = 0, of_halved = 0;
    for (int64_t i = 0; i < c.m; ++i)
      for (int64_t j = 0; j < c.n; ++j) {
        const double want = c.expected(i, j);
        of_direct += std::pow(direct[i * c.n + j] - want, 2);
        of_halved += std::pow(halved[i * c.n + j] - want, 2);
      }
    EXPECT_LE(std::sqrt(of_halved), 3 * std::sqrt(of_direct));
  }
}

}  // namespace
}  // namespace nestvit

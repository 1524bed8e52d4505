// ConvPool's convolution against nine taps in double precision, in each precision and both ways.
#include "runtime/packed/convolution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/isa.h"
#include "support/random_floats.h"

namespace nestvit {
namespace {

using Floats = std::vector<float>;

using testing::random_floats;

struct Case {
  int64_t size, in, out;
  Floats plane, weight, bias;  // plane [size + 2, size + 2, in]

  Case(int64_t s, int64_t c, int64_t k)
      : size(s),
        in(c),
        out(k),
        plane(random_floats((s + 2) * (s + 2) * c, 1)),
        weight(random_floats(k * c * 9, 2)),
        bias(random_floats(k, 3)) {
    for (int64_t y = 0; y < s + 2; ++y)
      for (int64_t x = 0; x < s + 2; ++x)
        if (y % (s + 1) == 0 || x % (s + 1) == 0)
          std::fill_n(&plane[(y * (s + 2) + x) * c], c, 0.0f);
  }
  float pixel(int64_t y, int64_t x, int64_t c) const {
    return plane[(y * (size + 2) + x) * in + c];
  }
  float tap(int64_t k, int64_t c, int64_t y, int64_t x) const {
    return weight[((k * in + c) * 3 + y) * 3 + x];
  }
};

// [size, size, out] by the object under test.
Floats convolved(const Case& c, NumberType precision, int64_t* rows) {
  const Convolution conv(c.weight, c.bias, c.out, c.size, precision);
  const int64_t side = c.size + 2, row = side * conv.prepared_pixel_size();
  *rows = conv.rows_per_call();
  Floats memory(side * row), scratch(conv.scratch_size()), y(c.size * c.size * c.out);
  const float* plane = conv.prepare_pixels(c.plane.data(), side * side, memory.data());
  for (int64_t i = 0; i < c.size; i += conv.rows_per_call())
    conv(plane + i * row, &y[i * c.size * c.out], scratch.data());
  return y;
}

struct Expected {
  double value;
  double terms;  // the sum of the sizes of what is added up
};

Expected expected(const Case& c, int64_t y, int64_t x, int64_t k) {
  Expected e{c.bias[k], std::fabs(c.bias[k])};
  for (int64_t i = 0; i < c.in; ++i)
    for (int64_t t = 0; t < 9; ++t) {
      const double term = double{c.pixel(y + t / 3, x + t % 3, i)} * c.tap(k, i, t / 3, t % 3);
      e.value += term;
      e.terms += std::fabs(term);
    }
  return e;
}

// The same sum of sizes for Winograd's terms: |A^T| (|G| |g| |G^T| . |B^T| |d| |B|) |A|.
double winograd_terms(const Case& c, int64_t y, int64_t x, int64_t k) {
  constexpr double kG[4][3] = {{1, 0, 0}, {.5, .5, .5}, {.5, .5, .5}, {0, 0, 1}};
  constexpr double kB[4][4] = {{1, 0, 1, 0}, {0, 1, 1, 0}, {0, 1, 1, 0}, {0, 1, 0, 1}};
  constexpr double kA[2][4] = {{1, 1, 1, 0}, {0, 1, 1, 1}};
  double sum = std::fabs(c.bias[k]);
  for (int64_t i = 0; i < c.in; ++i)
    for (int r = 0; r < 4; ++r)
      for (int s = 0; s < 4; ++s) {
        double g = 0, d = 0;
        for (int a = 0; a < 3; ++a)
          for (int b = 0; b < 3; ++b) g += kG[r][a] * std::fabs(c.tap(k, i, a, b)) * kG[s][b];
        for (int a = 0; a < 4; ++a)
          for (int b = 0; b < 4; ++b)
            d += kB[r][a] * std::fabs(c.pixel(y / 2 * 2 + a, x / 2 * 2 + b, i)) * kB[s][b];
        sum += kA[y % 2][r] * g * d * kA[x % 2][s];
      }
  return sum;
}

TEST(Convolution, EqualsNineTapsInDoublePrecision) {
  const double eps = std::numeric_limits<float>::epsilon();
  int ways = 0;
  for (const auto& [size, in, out] :
       {std::tuple{2, 16, 16}, {6, 32, 48}, {4, 48, 16}, {5, 32, 16}, {4, 5, 7}, {1, 3, 2}}) {
    const Case c(size, in, out);
    int64_t rows = 0;
    const Floats got = convolved(c, NumberType::kF32, &rows);
    ways |= rows == 2 ? 2 : 1;
    for (int64_t i = 0; i < size * size * out; ++i) {
      const int64_t y = i / out / size, x = i / out % size, k = i % out;
      const Expected e = expected(c, y, x, k);
      // Sums of 9 C products and of C products with nine additions of the transforms.
      const double bound =
          rows == 2 ? eps * (in + 9) * winograd_terms(c, y, x, k) : eps * 9 * in * e.terms;
      ASSERT_NEAR(got[i], e.value, bound) << size << " " << in << " " << out;
    }
  }
  EXPECT_EQ(ways, 3) << "both ways must have been tested";
}

// What rounding both operands of a term can change: a bf16 by half a unit of 2^-7, an int8 by half
// a step of 127 of the largest value.
double short_bound(const Case& c, NumberType precision, bool winograd, int64_t i) {
  const int64_t y = i / c.out / c.size, x = i / c.out % c.size, k = i % c.out;
  if (precision == NumberType::kBf16) {
    const double terms = winograd ? winograd_terms(c, y, x, k) : expected(c, y, x, k).terms;
    return 1.01 * 2.0 / 256 * terms;
  }
  float pixel = 0, weight = 0;
  for (const float p : c.plane) pixel = std::max(pixel, std::fabs(p));
  for (const float w : c.weight) weight = std::max(weight, std::fabs(w));
  // Winograd's values are sums of up to four pixels, its weights at most 9/4 of one; a value of the
  // output is made of nine of its 16 products.
  const double largest = double{pixel} * weight * (winograd ? 4 * 9.0 / 4 : 1);
  return 2 * 9.0 * static_cast<double>(c.in) * largest / 254;
}

TEST(Convolution, OfShortTypesIsAsNearAsTheirRounding) {
  for (const auto& [precision, isa] : {std::pair{NumberType::kBf16, kernels::Isa::kAvx512Bf16},
                                       {NumberType::kInt8, kernels::Isa::kPlain}})
    for (const int64_t out : {20, 48}) {
      if (!kernels::uses(isa)) continue;
      const Case c(6, 32, out);
      int64_t rows = 0;
      const Floats got = convolved(c, precision, &rows);
      EXPECT_EQ(rows, out == 48 ? 2 : 1);
      double squares = 0, size = 0;
      for (int64_t i = 0; i < c.size * c.size * out; ++i) {
        const double want = expected(c, i / out / c.size, i / out % c.size, i % out).value;
        ASSERT_NEAR(got[i], want, short_bound(c, precision, rows == 2, i)) << out;
        squares += (got[i] - want) * (got[i] - want);
        size += want * want;
      }
      // Errors of either sign: of a term about a third of their bound, of a sum no more than of its
      // terms; Winograd's are up to twice as large.
      const double of_a_term = precision == NumberType::kBf16 ? 1.0 / 256 / 3 : 3.0 / 254 / 3;
      EXPECT_LE(std::sqrt(squares / size), 2 * 2 * of_a_term) << out;
    }
}

}  // namespace
}  // namespace nestvit

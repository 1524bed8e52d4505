// Every set of 8-bit kernels: rounding against its bound, gemm against
// double precision on the rounded operands.
#include "kernels/int8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/number/int8.h"
#include "core/kernels/sets.h"
#include "kernels/dispatch.h"
#include "support/random_floats.h"

namespace nestvit::kernels {
namespace {

using Floats = std::vector<float>;

using nestvit::testing::random_floats;

// A row from round(), unpacked.
struct Row {
  std::vector<int> values;
  float scale;

  Row(const uint32_t* packed, int64_t width) {
    for (int64_t p = 0; p < width; ++p)
      values.push_back(static_cast<int>(packed[p / 4] >> p % 4 * 8 & 0xff) - 128);
    std::memcpy(&scale, packed + width / 4, sizeof scale);
  }
};

class Int8 : public nestvit::testing::SetTest<Int8Kernels> {
 protected:
  Int8() : SetTest(int8_kernels()) {}

  std::vector<uint32_t> rounded(const Floats& x, int64_t width) {
    const auto rows = static_cast<int64_t>(x.size()) / width;
    std::vector<uint32_t> packed(rows * int8_row_words(width));
    kernel.round(x.data(), rows, width, packed.data());
    return packed;
  }
};

TEST_P(Int8, RoundsToHalfAStep) {
  for (const int64_t width : {4, 8, 12, 16, 20, 60, 64, 68, 96, 132, 768}) {
    constexpr int64_t kRows = 3;
    Floats x = random_floats(kRows * width, static_cast<uint64_t>(width));
    for (int64_t p = 0; p < width; ++p) x[width + p] = 0;  // a row of zeros
    x[2 * width] = -1e4f;
    const auto packed = rounded(x, width);
    for (int64_t r = 0; r < kRows; ++r) {
      const Row row(packed.data() + r * int8_row_words(width), width);
      float largest = 0;
      for (int64_t p = 0; p < width; ++p) largest = std::max(largest, std::fabs(x[r * width + p]));
      EXPECT_EQ(row.scale, largest / 127);
      for (int64_t p = 0; p < width; ++p) {
        // The rounding of the quotient may move a value across a tie.
        const double bound = row.scale * (0.5 + 127 * 4 * std::numeric_limits<float>::epsilon());
        ASSERT_LE(std::fabs(x[r * width + p] - double{row.scale} * row.values[p]), bound) << width;
        ASSERT_LE(std::abs(row.values[p]), 127);
      }
    }
  }
}

TEST_P(Int8, NotFiniteStaysNotFinite) {
  for (const float odd :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    for (const int64_t place : {0, 5, 63, 64, 67}) {
      Floats x = random_floats(68, 1);
      x[place] = odd;
      EXPECT_FALSE(std::isfinite(Row(rounded(x, 68).data(), 68).scale)) << place;
    }
}

struct Packed {
  std::vector<uint32_t> words;
  std::vector<int32_t> offsets;
  Floats scales;

  Packed(const Floats& weight, int64_t n, int64_t taps, int64_t width) {
    const int64_t columns = (n + kInt8Panel - 1) / kInt8Panel * kInt8Panel, k = taps * width;
    words.resize(columns * k / 4);
    offsets.resize(taps * columns);
    scales.resize(columns);
    for (int64_t j = 0; j < n; j += kInt8Panel)
      int8_pack(weight.data() + j * k, std::min(kInt8Panel, n - j), taps, width, columns,
                words.data() + j * k / 4, offsets.data() + j, scales.data() + j);
  }
};

TEST_P(Int8, GemmEqualsDoublePrecisionOfRoundedOperands) {
  const std::vector<int64_t> one = {0}, nine = {0, 1, 2, 15, 16, 17, 30, 31, 32};
  for (const auto& [taps, width] : {std::pair{one, int64_t{4}}, {one, 96}, {one, 3072}, {nine, 12}})
    for (const int64_t m : {1, 2, 3, 7, 8, 13})
      for (const int64_t n : {1, 47, 48, 50})
        for (const bool add : {false, true}) {
          const auto tap_count = static_cast<int64_t>(taps.size());
          const int64_t k = tap_count * width, ldc = n + 1;
          const auto a = rounded(random_floats((m + taps.back()) * width, 1), width);
          const Floats weight = random_floats(n * k, 2), before = random_floats(m * ldc, 4);
          Floats bias = random_floats(n, 3), c = before;
          bias.resize((n + kInt8Panel - 1) / kInt8Panel * kInt8Panel);
          const Packed w(weight, n, tap_count, width);
          kernel.gemm({.a = a.data(),
                       .taps = taps.data(),
                       .tap_count = tap_count,
                       .width = width,
                       .weight = w.words.data(),
                       .offsets = w.offsets.data(),
                       .scales = w.scales.data(),
                       .bias = bias.data(),
                       .m = m,
                       .n = n,
                       .add = add,
                       .c = c.data(),
                       .ldc = ldc});
          for (int64_t i = 0; i < m; ++i) {
            EXPECT_EQ(c[i * ldc + n], before[i * ldc + n]);
            for (int64_t j = 0; j < n; ++j) {
              double want = bias[j] + (add ? before[i * ldc + j] : 0.0);
              double terms = std::fabs(bias[j]) + std::fabs(before[i * ldc + j]);
              const float scale = int8_scale({&weight[j * k], static_cast<size_t>(k)});
              for (int64_t t = 0; t < tap_count; ++t) {
                const Row row(&a[(i + taps[t]) * int8_row_words(width)], width);
                int64_t sum = 0;
                for (int64_t p = 0; p < width; ++p)
                  sum += row.values[p] * int8_value(weight[j * k + t * width + p], scale);
                const double term = static_cast<double>(sum) * row.scale * scale;
                want += term;
                terms += std::fabs(term);
              }
              // Roundings: a tap's sum to float, its scaling and its addition; then the column's
              // scale, bias and the old c.
              const double bound = std::numeric_limits<float>::epsilon() *
                                   static_cast<double>(tap_count + 4) * terms;
              ASSERT_NEAR(c[i * ldc + j], want, bound)
                  << m << " x " << n << " x " << width << " taps " << tap_count;
            }
          }
        }
}

struct Operands {
  std::vector<int64_t> taps;
  int64_t m, n, width;
  Floats a, weight;  // [rows, width], [n, taps * width]

  int64_t tap_count() const { return static_cast<int64_t>(taps.size()); }
};

// The product by `set`, which also rounds a.
Floats product_of(const Int8Kernels& set, const Operands& o) {
  const auto rows = static_cast<int64_t>(o.a.size()) / o.width;
  std::vector<uint32_t> packed(rows * int8_row_words(o.width));
  set.round(o.a.data(), rows, o.width, packed.data());
  const Packed w(o.weight, o.n, o.tap_count(), o.width);
  const Floats bias(w.scales.size());
  Floats c(o.m * o.n);
  set.gemm({.a = packed.data(),
            .taps = o.taps.data(),
            .tap_count = o.tap_count(),
            .width = o.width,
            .weight = w.words.data(),
            .offsets = w.offsets.data(),
            .scales = w.scales.data(),
            .bias = bias.data(),
            .m = o.m,
            .n = o.n,
            .add = false,
            .c = c.data(),
            .ldc = o.n});
  return c;
}

// Rows of integers with 127 or -127 among them have a scale of 1, so that nothing is rounded. c is
// the sum itself if that is below 2^24.
TEST_P(Int8, SumsOfIntegersAreExact) {
  const auto integers = [](int64_t rows, int64_t width, uint64_t seed, bool extreme) {
    Floats x = random_floats(rows * width, seed);
    for (size_t i = 0; i < x.size(); ++i) {
      const bool end = extreme || static_cast<int64_t>(i) % width == 0;
      x[i] = end ? std::copysign(127.0f, x[i])
                 : std::clamp(std::nearbyint(40 * x[i]), -127.0f, 127.0f);
    }
    return x;
  };
  const std::vector<int64_t> one = {0}, nine = {0, 1, 2, 7, 8, 9, 14, 15, 16};
  for (const bool extreme : {false, true})
    for (const auto& [taps, width] :
         {std::pair{one, int64_t{4}}, {one, 1000}, {one, 2052}, {nine, 68}})
      for (const int64_t m : {1, 5, 9})
        for (const int64_t n : {1, 33, 97}) {
          Operands o{taps, m, n, width, integers(m + taps.back(), width, 5, extreme), {}};
          if (extreme) std::fill(o.a.begin(), o.a.end(), 127.0f);  // all sums at their largest
          o.weight = integers(n, width * o.tap_count(), 6, extreme);
          if (extreme) std::fill(o.weight.begin(), o.weight.begin() + width * o.tap_count(), -127);
          const Floats c = product_of(kernel, o);
          for (int64_t i = 0; i < m; ++i)
            for (int64_t j = 0; j < n; ++j) {
              int64_t want = 0;
              for (int64_t t = 0; t < o.tap_count(); ++t)
                for (int64_t p = 0; p < width; ++p)
                  want += static_cast<int64_t>(o.a[(i + taps[t]) * width + p]) *
                          static_cast<int64_t>(o.weight[(j * o.tap_count() + t) * width + p]);
              if (std::abs(want) < 1 << 24) {
                ASSERT_EQ(c[i * n + j], static_cast<float>(want)) << width << " " << i << " " << j;
              } else {
                ASSERT_NEAR(c[i * n + j], static_cast<double>(want), 1);  // below 2^25
              }
            }
        }
}

// AVX2 and AVX512_VNNI compute the same bits.
TEST(Int8Sets, VectorsAgreeBitForBit) {
  const auto& sets = int8_kernels();
  for (const int64_t width : {4, 20, 384, 2500})
    for (const int64_t m : {1, 3, 11}) {
      const Operands o{{0, 2},
                       m,
                       70,
                       width,
                       random_floats((m + 2) * width, 7),
                       random_floats(70 * 2 * width, 8)};
      for (size_t i = 0; i + 2 < sets.size(); ++i)
        EXPECT_EQ(product_of(*sets[i], o), product_of(*sets[i + 1], o))
            << sets[i]->name << " and " << sets[i + 1]->name << ", " << width;
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, Int8, nestvit::testing::int8_sets(), nestvit::testing::set_name);

}  // namespace
}  // namespace nestvit::kernels

// The matrix products and the convolution against loops in double precision.
#include "runtime/plain/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "runtime/compute_thread.h"
#include "support/random_floats.h"

namespace nestvit {
namespace {

using testing::random_floats;

// A sum of k products of order 1, in any order of addition.
double bound(int64_t k) {
  return std::numeric_limits<float>::epsilon() * 4 * (static_cast<double>(k) + 8);
}

struct Size {
  int64_t n, k;
};
const std::vector<Size> kSizes = {{1, 1},   {3, 5},    {16, 16},  {10, 24},
                                  {96, 48}, {288, 96}, {100, 33}, {1000, 384}};

void check_linear(const std::vector<int64_t>& rows) {
  for (const auto [n, k] : kSizes)
    for (bool with_bias : {true, false}) {
      const auto weight = random_floats(n * k, 1), bias = random_floats(with_bias ? n : 0, 2);
      const Linear linear(weight, bias, n, k, /*usual_m=*/196);
      for (int64_t m : rows) {
        const auto x = random_floats(m * k, m), start = random_floats(m * n, 3);
        std::vector<float> y(m * n, 99), sum = start;
        linear(x.data(), m, y.data());
        linear.accumulate(x.data(), m, sum.data());
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) {
            double expected = with_bias ? bias[j] : 0;
            for (int64_t p = 0; p < k; ++p)
              expected += static_cast<double>(x[i * k + p]) * weight[j * k + p];
            ASSERT_NEAR(y[i * n + j], expected, bound(k)) << n << " x " << k << ", m " << m;
            ASSERT_NEAR(sum[i * n + j], expected + start[i * n + j], bound(k))
                << n << " x " << k << ", m " << m;
          }
      }
    }
}

void check_conv() {
  struct {
    int64_t out, in, h, w;
  } sizes[] = {{1, 1, 2, 2}, {5, 3, 4, 4}, {16, 16, 8, 8}, {24, 12, 6, 10}, {64, 32, 14, 14}};
  for (const auto [out, in, h, w] : sizes) {
    const auto weight = random_floats(out * in * 9, 1), bias = random_floats(out, 2);
    const Conv3x3 conv(weight, bias, out, in, h, w);
    for (int64_t B : {1, 3, 2, 1}) {
      const auto x = random_floats(B * h * w * in, B);
      std::vector<float> y(B * h * w * out, 99);
      conv(x.data(), B, y.data());
      for (int64_t i = 0; i < B * h * w * out; ++i) {
        const int64_t o = i % out, column = i / out % w, row = i / out / w % h, b = i / out / w / h;
        double expected = bias[o];
        for (int64_t ky = -1; ky <= 1; ++ky)
          for (int64_t kx = -1; kx <= 1; ++kx) {
            if (row + ky < 0 || row + ky >= h || column + kx < 0 || column + kx >= w) continue;
            for (int64_t c = 0; c < in; ++c)
              expected += static_cast<double>(x[((b * h + row + ky) * w + column + kx) * in + c]) *
                          weight[((o * in + c) * 3 + ky + 1) * 3 + kx + 1];
          }
        ASSERT_NEAR(y[i], expected, bound(9 * in)) << out << " of " << in << " at " << i;
      }
    }
  }
}

TEST(Linear, EqualsDefinitionForAnyNumberOfRows) {
  ComputeThread(1).run([] { check_linear({1, 2, 7, 64, 197, 7}); });
  ComputeThread(2).run([] { check_linear({65}); });
}

TEST(Conv3x3, EqualsDefinition) {
  for (int threads : {1, 2}) ComputeThread(threads).run(check_conv);
}

TEST(Multiply, EqualsDefinitionWithinWiderMatrices) {
  for (int64_t m : {1, 5, 49})
    for (int64_t n : {1, 4, 50})
      for (int64_t k : {1, 3, 32}) {
        const int64_t a_stride = k + 3, b_stride = std::max(n, k) + 2, c_stride = n + 1;
        const auto a = random_floats(m * a_stride, 1),
                   b = random_floats(std::max(n, k) * b_stride, 2);
        std::vector<float> plain(m * c_stride, 99), transposed = plain;
        ASSERT_TRUE(
            multiply({a.data(), a_stride}, {b.data(), b_stride}, m, n, k, plain.data(), c_stride));
        ASSERT_TRUE(multiply_transposed({a.data(), a_stride}, {b.data(), b_stride}, m, n, k,
                                        transposed.data(), c_stride));
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < n; ++j) {
            double expected = 0, expected_transposed = 0;
            for (int64_t p = 0; p < k; ++p) {
              expected += static_cast<double>(a[i * a_stride + p]) * b[p * b_stride + j];
              expected_transposed += static_cast<double>(a[i * a_stride + p]) * b[j * b_stride + p];
            }
            ASSERT_NEAR(plain[i * c_stride + j], expected, bound(k));
            ASSERT_NEAR(transposed[i * c_stride + j], expected_transposed, bound(k));
          }
          EXPECT_EQ(plain[i * c_stride + n], 99);  // between the rows nothing is written
        }
      }
}

}  // namespace
}  // namespace nestvit

// Each kernel against its definition in double precision, over sizes that leave every remainder of
// a vector.
#include "kernels/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "support/random_floats.h"

namespace nestvit::kernels {
namespace {

constexpr double kEps = std::numeric_limits<float>::epsilon();  // 2^-23, two roundings

using nestvit::testing::random_floats;

const std::vector<int64_t> kWidths = {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64, 96, 100, 384};

// Normalised values are of order 1 for any input; means and variances carry the rounding of a sum
// of C terms relative to the spread, of which the mean is the larger part when the centre is far
// from 0.
TEST(LayerNorm, EqualsDefinition) {
  for (int64_t C : kWidths)
    for (float centre : {0.0f, 3.0f}) {
      const auto x = random_floats(5 * C, C, 1, centre), gamma = random_floats(C, 1),
                 beta = random_floats(C, 2);
      std::vector<float> y(x.size());
      layer_norm(x.data(), 5, C, gamma.data(), beta.data(), 1e-6f, y.data());
      for (int64_t r = 0; r < 5; ++r) {
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < C; ++c) mean += x[r * C + c] / static_cast<double>(C);
        for (int64_t c = 0; c < C; ++c)
          variance += std::pow(x[r * C + c] - mean, 2) / static_cast<double>(C);
        const double scale = 1 / std::sqrt(variance + 1e-6);
        for (int64_t c = 0; c < C; ++c) {
          const double expected = (x[r * C + c] - mean) * scale * gamma[c] + beta[c];
          // Each of up to C / 4 sequential additions rounds a partial sum of at most C (|centre| +
          // 1).
          const double bound = kEps * (8 + static_cast<double>(C) / 4) * (std::fabs(centre) + 4) *
                               (std::fabs(gamma[c]) * std::max(1.0, scale) + std::fabs(beta[c]));
          EXPECT_NEAR(y[r * C + c], expected, bound) << C << " channels, row " << r;
        }
      }
      std::vector<float> in_place = x;
      layer_norm(in_place.data(), 5, C, gamma.data(), beta.data(), 1e-6f, in_place.data());
      EXPECT_EQ(in_place, y);
    }
}

TEST(LayerNorm, ConstantRowIsBeta) {
  const std::vector<float> x(24, 1000.1f), gamma(24, 5), beta(24, 0.25f);
  std::vector<float> y(24);
  layer_norm(x.data(), 1, 24, gamma.data(), beta.data(), 1e-6f, y.data());
  // The mean may be off by a rounding of the sum, which 1/sqrt(eps) = 1000 then magnifies.
  for (float value : y) EXPECT_NEAR(value, 0.25, 5 * 1000 * 1000.1 * 6 * kEps);
}

TEST(ChannelAffine, EqualsDefinition) {
  for (int64_t C : kWidths) {
    const auto x = random_floats(3 * C, C), scale = random_floats(C, 1),
               shift = random_floats(C, 2);
    std::vector<float> y(x.size());
    channel_affine(x.data(), 3, C, scale.data(), shift.data(), y.data());
    for (int64_t i = 0; i < 3 * C; ++i)
      EXPECT_NEAR(y[i], static_cast<double>(x[i]) * scale[i % C] + shift[i % C],
                  kEps * (std::fabs(x[i] * scale[i % C]) + std::fabs(shift[i % C])));
  }
}

TEST(GroupNorm, EqualsDefinition) {
  for (int64_t rows : {1, 3, 50})
    for (int64_t width : {1, 2, 3, 5}) {
      const int64_t groups = 4, C = groups * width;
      if (rows * width == 1) continue;  // a single number has no variance
      const auto x = random_floats(rows * C, rows, 1, 2), gamma = random_floats(C, 1),
                 beta = random_floats(C, 2);
      std::vector<float> y(x.size());
      std::vector<double> scratch(2 * C);
      group_norm(x.data(), rows, C, groups, gamma.data(), beta.data(), 1e-6f, scratch.data(),
                 y.data());
      for (int64_t g = 0; g < groups; ++g) {
        double mean = 0, variance = 0;
        const auto each = [&](auto&& visit) {
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = g * width; c < (g + 1) * width; ++c) visit(r * C + c, c);
        };
        const double count = static_cast<double>(rows * width);
        each([&](int64_t i, int64_t) { mean += x[i] / count; });
        each([&](int64_t i, int64_t) { variance += (x[i] - mean) * (x[i] - mean) / count; });
        each([&](int64_t i, int64_t c) {
          const double expected = (x[i] - mean) / std::sqrt(variance + 1e-6) * gamma[c] + beta[c];
          EXPECT_NEAR(y[i], expected,
                      kEps * (std::fabs(expected) + 1));  // computed in double, rounded once
        });
      }
    }
}

// Sums are in double; scale and shift are rounded once.
TEST(GroupAffine, EqualsDefinition) {
  for (int64_t rows : {1, 3, 50})
    for (int64_t width : {1, 2, 3, 5}) {
      const int64_t groups = 4, C = groups * width;
      if (rows * width == 1) continue;  // a single number has no variance
      const auto x = random_floats(rows * C, rows, 1, 2), gamma = random_floats(C, 1),
                 beta = random_floats(C, 2);
      std::vector<float> scale(C), shift(C);
      std::vector<double> scratch(4 * width);
      for (int64_t first = 0; first < C; first += 2 * width)  // two groups of wider rows
        group_affine({.x = x.data() + first,
                      .rows = rows,
                      .ld = C,
                      .channels = 2 * width,
                      .width = width,
                      .gamma = gamma.data() + first,
                      .beta = beta.data() + first,
                      .eps = 1e-6f},
                     scratch.data(), scale.data() + first, shift.data() + first);
      for (int64_t g = 0; g < groups; ++g) {
        double mean = 0, variance = 0;
        const auto each = [&](auto&& visit) {
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = g * width; c < (g + 1) * width; ++c) visit(r * C + c);
        };
        const double count = static_cast<double>(rows * width);
        each([&](int64_t i) { mean += x[i] / count; });
        each([&](int64_t i) { variance += (x[i] - mean) * (x[i] - mean) / count; });
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
          const double expected = gamma[c] / std::sqrt(variance + 1e-6), moved = mean * expected;
          EXPECT_NEAR(scale[c], expected, kEps * std::fabs(expected));
          EXPECT_NEAR(shift[c], beta[c] - moved, kEps * (std::fabs(beta[c]) + std::fabs(moved)));
        }
      }
    }
}

TEST(Softmax, EqualsDefinition) {
  for (int64_t cols : kWidths)
    for (float scale : {1.0f, 0.125f, 0.17677669f})
      for (float spread : {0.1f, 1.0f, 30.0f}) {
        const auto x = random_floats(4 * cols, cols, spread);
        std::vector<float> y = x;
        softmax(y.data(), 4, cols, scale);
        for (int64_t r = 0; r < 4; ++r) {
          const float* row = x.data() + r * cols;
          const double largest = *std::max_element(row, row + cols);
          double total = 0;
          for (int64_t c = 0; c < cols; ++c) total += std::exp(scale * (row[c] - largest));
          for (int64_t c = 0; c < cols; ++c) {
            const double distance = scale * (largest - row[c]),
                         expected = std::exp(-distance) / total;
            // An exponent of size d rounds by d * eps; below e^-87 a weight need only vanish.
            EXPECT_NEAR(y[r * cols + c], expected,
                        expected * kEps * (4 + static_cast<double>(cols) / 4 + distance) + 1e-37);
          }
        }
      }
}

TEST(Softmax, HugeScoresStayFinite) {
  std::vector<float> x = {3e38f, -3e38f, 3e38f, 0};
  softmax(x.data(), 1, 4, 1);
  EXPECT_FLOAT_EQ(x[0], 0.5f);
  EXPECT_FLOAT_EQ(x[2], 0.5f);
  EXPECT_LT(x[1] + x[3], 1e-30f);
}

double exact_tanh_gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}
double exact_erf_gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

// Relative to |x|: 0.5 (1 + tanh) and 0.5 (1 + erf) are good to about 2 units of their largest
// value, 1. The argument of tanh is itself rounded, by up to 6 eps of its size, where its slope is
// still felt (|u| < 9).
void expect_gelu(void (*gelu)(float*, int64_t), double (*exact)(double)) {
  std::vector<float> x;
  for (int i = -200000; i <= 200000; ++i) x.push_back(static_cast<float>(i) * 6e-5f);  // [-12, 12]
  for (float power = 1e-30f; power < 1e10f; power *= 7) {
    x.push_back(power);
    x.push_back(-power);
  }
  x.push_back(0);
  std::vector<float> y = x;
  gelu(y.data(), static_cast<int64_t>(y.size()));
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(y[i], exact(x[i]), 3 * kEps * std::fabs(x[i]) + 1e-37) << "at " << x[i];
  for (int64_t count :
       kWidths) {  // whatever the length, the same values, and nothing behind the end
    std::vector<float> part(x.begin() + 150000, x.begin() + 150000 + count + 1);
    const float behind = part.back();
    gelu(part.data(), count);
    for (int64_t i = 0; i < count; ++i) EXPECT_EQ(part[i], y[150000 + i]);
    EXPECT_EQ(part.back(), behind);
  }
}

TEST(Gelu, TanhEqualsDefinition) { expect_gelu(gelu_tanh, exact_tanh_gelu); }
TEST(Gelu, ErfEqualsDefinition) { expect_gelu(gelu_erf, exact_erf_gelu); }

// reference.md I
TEST(Gelu, KnownValues) {
  const std::vector<float> x = {-3, -1, -0.5f, 0.5f, 1, 2};
  std::vector<float> tanh_form = x, erf_form = x;
  gelu_tanh(tanh_form.data(), 6);
  gelu_erf(erf_form.data(), 6);
  const double tanh_values[] = {-0.0036374, -0.158808, -0.154286, 0.345714, 0.841192, 1.9545977};
  const double erf_values[] = {-0.0040497, -0.1586553, -0.1542688, 0.3457312, 0.8413447, 1.9544997};
  for (int i = 0; i < 6; ++i) {
    EXPECT_NEAR(tanh_form[i], tanh_values[i], 6e-7);
    EXPECT_NEAR(erf_form[i], erf_values[i], 6e-7);
  }
}

TEST(Add, Adds) {
  for (int64_t count : kWidths) {
    const auto x = random_floats(count, 1);
    auto y = random_floats(count, 2);
    const auto before = y;
    add(x.data(), count, y.data());
    for (int64_t i = 0; i < count; ++i) EXPECT_EQ(y[i], before[i] + x[i]);
  }
}

TEST(MeanRows, EqualsDefinition) {
  for (int64_t rows : {1, 2, 196}) {
    const auto x = random_floats(rows * 13, rows);
    std::vector<float> y(13, 99);
    mean_rows(x.data(), rows, 13, y.data());
    for (int64_t c = 0; c < 13; ++c) {
      double mean = 0;
      for (int64_t r = 0; r < rows; ++r) mean += x[r * 13 + c] / static_cast<double>(rows);
      EXPECT_NEAR(y[c], mean, 4 * kEps * std::sqrt(static_cast<double>(rows)) * 4);
    }
  }
}

TEST(MaxPool, SamePaddingFollowsTensorFlow) {
  // total = max(0, (ceil(n/2) - 1) * 2 + 3 - n), of which floor(total / 2) goes before
  for (int64_t n : {2, 4, 8, 56}) EXPECT_EQ(same_padding(n), 0);
  for (int64_t n : {1, 3, 5, 57}) EXPECT_EQ(same_padding(n), 1);
  EXPECT_EQ(pooled_size(56), 28);
  EXPECT_EQ(pooled_size(57), 29);
}

TEST(MaxPool, EqualsDefinition) {
  for (int64_t h : {2, 4, 5, 8})
    for (int64_t w : {2, 4, 6, 7})
      for (int64_t pad : {0, 1}) {
        const int64_t C = 5, out_w = pooled_size(w);
        const auto map =
            random_floats(h * w * C, h * 10 + w, 1, -10);  // negative: padding must not count as 0
        for (int64_t oy = 0; oy < pooled_size(h); ++oy) {
          std::vector<float> y(out_w * C, 99);
          max_pool_row(map.data(), h, w, C, pad, pad, oy, y.data());
          for (int64_t ox = 0; ox < out_w; ++ox)
            for (int64_t c = 0; c < C; ++c) {
              float expected = -std::numeric_limits<float>::infinity();
              for (int64_t iy = 2 * oy - pad; iy < 2 * oy - pad + 3; ++iy)
                for (int64_t ix = 2 * ox - pad; ix < 2 * ox - pad + 3; ++ix)
                  if (iy >= 0 && iy < h && ix >= 0 && ix < w)
                    expected = std::max(expected, map[(iy * w + ix) * C + c]);
              EXPECT_EQ(y[ox * C + c], expected);
            }
        }
      }
}

TEST(Blocks, BlockifyFollowsTheOfficialOrder) {
  const int64_t grid = 4, edge = 3, C = 2, size = grid * edge;
  const auto map = random_floats(size * size * C, 1);
  std::vector<float> back(map.size());
  for (int64_t t = 0; t < grid * grid; ++t) {
    std::vector<float> block(edge * edge * C);
    blockify(map.data(), grid, edge, C, t, block.data());
    // block t = gy * grid + gx, token n = y * edge + x
    for (int64_t y = 0; y < edge; ++y)
      for (int64_t x = 0; x < edge; ++x)
        for (int64_t c = 0; c < C; ++c)
          EXPECT_EQ(block[(y * edge + x) * C + c],
                    map[((t / grid * edge + y) * size + t % grid * edge + x) * C + c]);
    unblockify(block.data(), grid, edge, C, t, back.data());
  }
  EXPECT_EQ(back, map);
}

TEST(Blocks, PatchifyFollowsTheConvolution) {
  const int64_t grid = 2, edge = 3, patch = 2, channels = 3, size = grid * edge * patch;
  const auto image = random_floats(channels * size * size, 1);
  for (int64_t t = 0; t < grid * grid; ++t) {
    std::vector<float> y(edge * edge * channels * patch * patch);
    patchify(image.data(), channels, patch, grid, edge, t, y.data());
    size_t at = 0;
    for (int64_t n = 0; n < edge * edge; ++n)
      for (int64_t channel = 0; channel < channels; ++channel)
        for (int64_t ky = 0; ky < patch; ++ky)
          for (int64_t kx = 0; kx < patch; ++kx) {
            const int64_t row = (t / grid * edge + n / edge) * patch + ky;
            const int64_t column = (t % grid * edge + n % edge) * patch + kx;
            EXPECT_EQ(y[at++], image[(channel * size + row) * size + column]);
          }
  }
}

#if defined(__SSE2__)
TEST(FlushDenormals, DenormalsCountAsZero) {
  float before = 1, read = 1, written = 1;
  std::thread([&] {  // its own thread: the mode stays with it
    volatile float denormal = 1e-40f, small = 1e-30f, one = 1;
    before = denormal * one;
    flush_denormals();
    read = denormal * one;
    written = small * small * 1e20f;
  })
      .join();
  EXPECT_GT(before, 0);
  EXPECT_EQ(read, 0);
  EXPECT_EQ(written, 0);
}
#endif

}  // namespace
}  // namespace nestvit::kernels

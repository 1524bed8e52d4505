// Each kernel against its definition in double precision, over sizes that leave every remainder of
// a vector.
#include "kernels/portable.h"

#include <gtest/gtest.h>

#include <algorithm>
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

TEST(SamePadding, FollowsTensorFlow) {
  // total = max(0, (ceil(n/2) - 1) * 2 + 3 - n), of which floor(total / 2) goes before
  for (int64_t n : {2, 4, 8, 56}) EXPECT_EQ(same_padding(n), 0);
  for (int64_t n : {1, 3, 5, 57}) EXPECT_EQ(same_padding(n), 1);
}

TEST(Patchify, FollowsTheConvolution) {
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

TEST(Unpatchify, UndoesPatchify) {
  const int64_t channels = 3, patch = 4, grid = 2, edge = 3, size = grid * edge * patch;
  const auto image = random_floats(channels * size * size, 1);
  std::vector<float> patches(edge * edge * channels * patch * patch), again(image.size());
  for (int64_t t = 0; t < grid * grid; ++t) {
    patchify(image.data(), channels, patch, grid, edge, t, patches.data());
    unpatchify(patches.data(), channels, patch, grid, edge, t, again.data());
  }
  EXPECT_EQ(again, image);
}

// Values of few sizes, so that many windows have equal ones.
TEST(MaxPoolBackward, GoesToTheFirstOfTheLargestValues) {
  for (const int64_t size : {2, 4, 7, 10})
    for (const int64_t pad : {int64_t{0}, int64_t{1}}) {
      const int64_t C = 5, out = (size + 1) / 2;
      auto map = random_floats(size * size * C, size);
      for (float& value : map) value = std::round(value);
      const auto dy = random_floats(out * out * C, 2);
      std::vector<float> want(map.size()), got(map.size());
      std::vector<uint8_t> chosen(dy.size());
      for (int64_t oy = 0; oy < out; ++oy) {
        max_pool_choice(map.data(), size, C, pad, oy, 0, out, &chosen[oy * out * C]);
        for (int64_t i = 0; i < out * C; ++i) {
          const int64_t ox = i / C, c = i % C;
          int64_t best = -1;
          for (int64_t y = 2 * oy - pad; y < 2 * oy - pad + 3; ++y)
            for (int64_t x = 2 * ox - pad; x < 2 * ox - pad + 3; ++x) {
              if (y < 0 || y >= size || x < 0 || x >= size) continue;
              const int64_t at = (y * size + x) * C + c;
              if (best < 0 || map[at] > map[best]) best = at;
            }
          want[best] += dy[oy * out * C + i];
        }
        for (int row = 0; row < 3; ++row) {
          const int64_t y = 2 * oy - pad + row;
          if (y < 0 || y >= size) continue;
          max_pool_backward(&dy[oy * out * C], &chosen[oy * out * C], size, C, pad, 0, out, row,
                            &got[y * size * C]);
        }
      }
      for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 4 * kEps * 4) << i;
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

// Rounding to 8-bit integers.
#include "base/number/int8.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "support/random_floats.h"

namespace nestvit {
namespace {

using testing::random_floats;

TEST(Int8, RoundsToHalfAStep) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const auto values = random_floats(100, seed);
    const float scale = int8_scale(values);
    for (const float value : values)
      EXPECT_LE(std::fabs(value - double{scale} * int8_value(value, scale)), 0.50001 * scale);
  }
}

TEST(Int8, EndsAndTies) {
  EXPECT_EQ(int8_scale(std::vector<float>{0, 0}), 0);
  EXPECT_EQ(int8_value(0, 0), 0);
  EXPECT_EQ(int8_value(-254, 2), -127);
  EXPECT_EQ(int8_value(1e30f, 1), 127);
  EXPECT_EQ(int8_value(2.5f, 1), 2);
  EXPECT_EQ(int8_value(3.5f, 1), 4);
  EXPECT_TRUE(
      std::isnan(int8_scale(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN(), 2})));
}

// So that weights stored as 8-bit integers are packed as they are.
TEST(Int8, RoundedValuesRoundToThemselves) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    auto values = random_floats(64, seed);
    const float scale = int8_scale(values);
    std::vector<int8_t> first;
    for (float& value : values) {
      first.push_back(int8_value(value, scale));
      value = static_cast<float>(first.back()) * scale;
    }
    const float again = int8_scale(values);
    EXPECT_NEAR(again, scale, scale * std::numeric_limits<float>::epsilon());
    for (size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(int8_value(values[i], again), first[i]) << seed;
  }
}

}  // namespace
}  // namespace nestvit

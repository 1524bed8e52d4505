// bfloat16 and half: every bit pattern against the formats' definitions, rounding against both
// neighbours.
#include "base/number/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nestvit {
namespace {

// IEEE 754 binary16, by its definition.
double half_value(uint16_t bits) {
  const double sign = bits & 0x8000 ? -1 : 1;
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  if (exponent == 31)
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Half, EveryPatternWidensExactlyAndComesBack) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const double expected = half_value(bits);
    const float got = f16_to_f32(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << i;
      ASSERT_TRUE(std::isnan(half_value(f32_to_f16(got)))) << i;
    } else {
      ASSERT_EQ(static_cast<double>(got), expected) << i;
      ASSERT_EQ(std::signbit(got), (bits & 0x8000) != 0) << i;
      ASSERT_EQ(f32_to_f16(got), bits) << i;
    }
  }
}

TEST(Half, RoundsToNearestTiesToEven) {
  for (uint16_t low = 0; low < 0x7bff; ++low) {  // every pair of finite neighbours
    const auto high = static_cast<uint16_t>(low + 1);
    const uint16_t even = low % 2 == 0 ? low : high;
    // The middle of two halves needs one bit more than a half has, so float holds it exactly.
    const auto middle = static_cast<float>((half_value(low) + half_value(high)) / 2);
    ASSERT_EQ(f32_to_f16(middle), even) << low;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.f)), low) << low;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 1e9f)), high) << low;
    ASSERT_EQ(f32_to_f16(-middle), even | 0x8000) << low;
  }
  EXPECT_EQ(f32_to_f16(std::nextafter(65520.f, 0.f)), 0x7bff);  // 65504
  EXPECT_EQ(f32_to_f16(65520.f), 0x7c00);                       // half way to 2^16: infinity
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(Half, Bfloat16IsTheUpperHalfOfAFloat) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float wide = bf16_to_f32(bits);
    ASSERT_EQ(f32_bits(wide), i << 16);
    if (std::isnan(wide)) {
      ASSERT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(wide)))) << i;
      continue;
    }
    ASSERT_EQ(f32_to_bf16(wide), bits);
    if (std::isinf(wide)) continue;
    const float middle = f32_from_bits((i << 16) | 0x8000);
    ASSERT_EQ(f32_to_bf16(middle), bits % 2 == 0 ? bits : bits + 1) << i;
    ASSERT_EQ(f32_to_bf16(f32_from_bits((i << 16) | 0x7fff)), bits) << i;
    ASSERT_EQ(f32_to_bf16(f32_from_bits((i << 16) | 0x8001)), bits + 1) << i;
  }
  // A NaN whose mantissa lies in the dropped half alone must not become infinity.
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(f32_from_bits(0x7f800001)))));
}

}  // namespace
}  // namespace nestvit

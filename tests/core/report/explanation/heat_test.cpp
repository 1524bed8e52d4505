// The colours of heat maps: lightness as the reader sees it.
#include "report/explanation/heat.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nestvit {
namespace {

double linear(uint8_t byte) {
  const double encoded = byte / 255.0;
  return encoded <= 0.04045 ? encoded / 12.92 : std::pow((encoded + 0.055) / 1.055, 2.4);
}

// CIE 1976 L* of an sRGB colour.
double lightness(HeatColour c) {
  const double y = 0.2126729 * linear(c[0]) + 0.7151522 * linear(c[1]) + 0.0721750 * linear(c[2]);
  return y > 216.0 / 24389 ? 116 * std::cbrt(y) - 16 : y * 24389.0 / 27;
}

CellMap map_with(std::vector<float> values, bool is_signed) {
  CellMap map;
  map.rows = 1;
  map.columns = static_cast<int>(values.size());
  map.values = std::move(values);
  map.is_signed = is_signed;
  return map;
}

constexpr HeatScale kSigned{true, 2}, kPositive{false, 2};

TEST(HeatColours, SignedLightnessFallsAlikeToBothSides) {
  double before = 101;
  for (int i = 0; i <= 20; ++i) {
    const double against = lightness(heat_colour(kSigned, -0.1 * i));
    const double in_favour = lightness(heat_colour(kSigned, 0.1 * i));
    EXPECT_NEAR(against, in_favour, 0.6) << i;  // 8 bits round by 0.2 to 0.5
    EXPECT_LT(in_favour, before) << i;
    EXPECT_NEAR(in_favour, 97 - 47 * i / 20.0, 0.6) << i;
    before = in_favour;
  }
}

TEST(HeatColours, SignsAreBlueAndOrange) {
  const HeatColour against = heat_colour(kSigned, -2), none = heat_colour(kSigned, 0),
                   in_favour = heat_colour(kSigned, 2);
  EXPECT_GT(against[2], against[0] + 150);
  EXPECT_GT(in_favour[0], in_favour[2] + 150);
  EXPECT_GT(in_favour[1], in_favour[2]);  // orange, not red
  EXPECT_EQ(none[0], none[1]);
  EXPECT_EQ(none[1], none[2]);
  EXPECT_EQ(heat_colour(kSigned, 50), in_favour);
}

// The first, middle and last of the 256 published colours, in 8 bits; lightness is a line but for
// the table's kinks where blue leaves the screen's gamut.
TEST(HeatColours, CividisRisesInALine) {
  EXPECT_EQ(heat_colour(kPositive, 0), (HeatColour{0x00, 0x22, 0x4E}));
  EXPECT_EQ(heat_colour(kPositive, 2), (HeatColour{0xFE, 0xE8, 0x38}));
  const double first = lightness(heat_colour(kPositive, 0));
  const double last = lightness(heat_colour(kPositive, 2));
  double before = -1;
  for (int i = 0; i <= 255; ++i) {
    const double here = lightness(heat_colour(kPositive, 2 * i / 255.0));
    EXPECT_NEAR(here, first + (last - first) * i / 255, 2.5) << i;
    if (i % 5 == 0) {
      EXPECT_GT(here, before) << i;
      before = here;
    }
  }
}

TEST(HeatColours, ScaleIsCommonAndNeverStretchedToTheLeastValue) {
  const CellMap strong = map_with({1, 2, 8}, false), weak = map_with({3, 4, 4}, false);
  const HeatScale scale = common_scale({&strong, &weak});
  EXPECT_FALSE(scale.is_signed);
  EXPECT_EQ(scale.most, 8);
  // The weak map's least value is not shown as nothing, nor its largest as the most.
  EXPECT_NE(heat_colour(scale, 3), heat_colour(scale, 0));
  EXPECT_NE(heat_colour(scale, 4), heat_colour(scale, 8));
  const CellMap rival = map_with({-9, 1, 1}, true);
  EXPECT_EQ(common_scale({&strong, &rival}).most, 9);
  EXPECT_TRUE(common_scale({&strong, &rival}).is_signed);
  EXPECT_EQ(common_scale({}).most, 0);
}

TEST(HeatColours, WhatIsNoNumberIsDrawnAsNothing) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const CellMap broken = map_with({kNaN, 1, std::numeric_limits<float>::infinity()}, true);
  EXPECT_EQ(common_scale({&broken}).most, 1);
  EXPECT_EQ(heat_colour(kSigned, double{kNaN}), heat_colour(kSigned, 0));
  EXPECT_EQ(heat_colour({true, 0}, 0), heat_colour(kSigned, 0));
}

TEST(HeatColours, MapsThatShowNothing) {
  EXPECT_TRUE(speaks_for(map_with({-1, 0, 0.1F}, true)));
  EXPECT_FALSE(speaks_for(map_with({-1, 0, -0.1F}, true)));
  EXPECT_FALSE(speaks_for(map_with({0, 0}, false)));
  CellMap rounding = map_with({0, 1e-9F}, false);
  rounding.decided = false;
  EXPECT_FALSE(speaks_for(rounding));
}

}  // namespace
}  // namespace nestvit

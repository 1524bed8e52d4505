// The pointing games by hand.
#include "explain/score/pointing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace nestvit {
namespace {

using Boxes = std::vector<ObjectBox>;

CellMap map_of(int side, std::vector<float> values) {
  CellMap map;
  map.rows = map.columns = side;
  map.values = std::move(values);
  return map;
}

constexpr View kSame{};

TEST(Pointing, HitsInTheBoxAndWithinTheTolerance) {
  std::vector<float> values(196);
  values[0] = 1;  // its middle is pixel (8, 8) of 224
  const CellMap map = map_of(14, values);
  EXPECT_EQ(pointing(map, Boxes{{0, 0, 20, 20}}, kSame, 224).hit, 1);
  // Less than 15 px to the left edge of the box, and just not less.
  EXPECT_EQ(pointing(map, Boxes{{22, 0, 40, 20}}, kSame, 224).hit, 1);
  EXPECT_EQ(pointing(map, Boxes{{23, 0, 40, 20}}, kSame, 224).hit, 0);
  // The distance to a corner is that of the crow: 11 and 11 is more than 15.
  EXPECT_EQ(pointing(map, Boxes{{18, 18, 40, 40}}, kSame, 224).hit, 1);
  EXPECT_EQ(pointing(map, Boxes{{19, 19, 40, 40}}, kSame, 224).hit, 0);
  EXPECT_EQ(pointing(map, Boxes{{100, 100, 120, 120}, {0, 0, 9, 9}}, kSame, 224).hit, 1);
}

TEST(Pointing, TheToleranceFollowsTheInput) {
  std::vector<float> values(256);
  values[0] = 1;  // the middle of its cell of 2 x 2 is pixel (1, 1) of 32; 15 * 32 / 224 = 2.14
  EXPECT_EQ(pointing(map_of(16, values), Boxes{{3, 0, 9, 9}}, kSame, 32).hit, 1);
  EXPECT_EQ(pointing(map_of(16, values), Boxes{{4, 0, 9, 9}}, kSame, 32).hit, 0);
}

TEST(Pointing, OfEqualValuesTheFirstCounts) {
  const CellMap map = map_of(2, {0, 5, 5, 0});
  EXPECT_EQ(pointing(map, Boxes{{112, 0, 223, 111}}, kSame, 224).hit, 1);
  EXPECT_EQ(pointing(map, Boxes{{0, 150, 90, 223}}, kSame, 224).hit, 0);
}

TEST(Pointing, EnergyIsTheShareOfThePositivePart) {
  const CellMap map = map_of(2, {3, -100, 1, 0});
  const Pointing left = pointing(map, Boxes{{0, 0, 3, 3}}, kSame, 8);  // the top left cell
  EXPECT_DOUBLE_EQ(left.energy, 0.75);
  EXPECT_DOUBLE_EQ(left.area, 0.25);
  // Half of the first cell; boxes that overlap count once.
  const Pointing half = pointing(map, Boxes{{0, 0, 1, 3}, {0, 0, 1, 2}}, kSame, 8);
  EXPECT_DOUBLE_EQ(half.energy, 0.375);
  EXPECT_DOUBLE_EQ(half.area, 0.125);
  EXPECT_TRUE(std::isnan(pointing(map_of(2, {-1, 0, 0, 0}), Boxes{{0, 0, 3, 3}}, kSame, 8).energy));
}

TEST(Pointing, TheEnergyOfAConstantMapIsTheBoxesArea) {
  const CellMap map = map_of(4, std::vector<float>(16, 0.5f));
  for (const ObjectBox& box : Boxes{{0, 0, 2, 6}, {3, 1, 7, 2}, {5, 5, 5, 5}}) {
    const Pointing result = pointing(map, Boxes{box}, kSame, 8);
    EXPECT_NEAR(result.energy, result.area, 1e-12);
  }
}

TEST(Pointing, BoxesLieOnTheOriginalImage) {
  // The input of 8 x 8 shows columns 40 to 80, rows 0 to 40 of the image.
  const View view{5, 5, 0, 40};
  std::vector<float> values(64);
  values[9] = 1;  // pixel (1, 1): the middle at (7.5, 47.5)
  const CellMap map = map_of(8, values);
  const Pointing hit = pointing(map, Boxes{{45, 5, 49, 9}}, view, 8);
  EXPECT_EQ(hit.hit, 1);
  EXPECT_EQ(hit.energy, 1);
  EXPECT_DOUBLE_EQ(hit.area, 1.0 / 64);
  EXPECT_EQ(pointing(map, Boxes{{55, 15, 69, 29}}, view, 8).hit, 0);
  // What the crop cut off was not seen: no verdict.
  const Pointing unseen = pointing(map, Boxes{{0, 0, 39, 39}}, view, 8);
  EXPECT_TRUE(std::isnan(unseen.hit));
  EXPECT_TRUE(std::isnan(unseen.energy));
  EXPECT_TRUE(std::isnan(unseen.area));
}

}  // namespace
}  // namespace nestvit

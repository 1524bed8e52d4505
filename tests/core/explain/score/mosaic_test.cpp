// Mosaics by hand: which images, which pixels, which cell.
#include "explain/score/mosaic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "support/errors.h"

namespace nestvit {
namespace {

TEST(Mosaic, PicksDifferentClassesAndEachOnItsOwn) {
  std::vector<int> labels;
  for (int i = 0; i < 60; ++i) labels.push_back(i % 6);
  const auto picks = mosaic_picks(labels, 2, 20, 7);
  ASSERT_EQ(picks.size(), 20u);
  std::set<int64_t> used;
  for (const auto& pick : picks) {
    std::set<int> classes;
    for (const int64_t image : pick) {
      classes.insert(labels.at(image));
      used.insert(image);
    }
    EXPECT_EQ(classes.size(), 4u);
  }
  EXPECT_GT(used.size(), 30u);
  EXPECT_EQ(mosaic_picks(labels, 2, 3, 7).back(), picks[2]);  // whatever comes before and after
  EXPECT_NE(mosaic_picks(labels, 2, 20, 8), picks);
}

TEST(Mosaic, NeedsAClassForEachCell) {
  const std::vector<int> labels = {0, 1, 2, 0};
  EXPECT_THROW(mosaic_picks(labels, 2, 1, 1), UsageError);
  EXPECT_NO_THROW(mosaic_picks(std::vector<int>{0, 1, 2, 3}, 2, 1, 1));
}

TEST(Mosaic, ShrinksEachImageIntoItsCell) {
  std::vector<std::vector<float>> images;
  for (int i = 0; i < 4; ++i) images.emplace_back(2 * 16, static_cast<float>(i));
  images[3][0] = 11;  // channel 0, row 0, column 0 of 4 x 4
  const std::vector<float> result = mosaic(images, 2, 4, 2);
  const std::vector<float> first = {0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 5, 3, 2, 2, 3, 3};
  EXPECT_EQ(std::vector<float>(result.begin(), result.begin() + 16), first);  // (11 + 3 * 3) / 4
  EXPECT_EQ(result[16 + 10], 3);
}

CellMap map_of(int side, std::vector<float> values) {
  CellMap map;
  map.rows = map.columns = side;
  map.values = std::move(values);
  return map;
}

TEST(Mosaic, CountsPositiveMassTheArgmaxAndThePath) {
  std::vector<float> values(16);
  values[2] = 3;    // top right
  values[12] = 1;   // bottom left
  values[0] = -50;  // negative values are clipped, not made absolute
  const CellMap map = map_of(4, values);
  const MosaicScore right = mosaic_score(map, std::vector<int>{1, 2}, 2, 1);
  EXPECT_EQ(right.mass, 0.75);
  EXPECT_EQ(right.argmax, 1);
  EXPECT_EQ(right.path, 1);
  const MosaicScore left = mosaic_score(map, std::vector<int>{1, 2}, 2, 2);
  EXPECT_EQ(left.mass, 0.25);
  EXPECT_EQ(left.argmax, 0);
  EXPECT_EQ(left.path, 0);
}

TEST(Mosaic, APathOfTwoStepsLeadsIntoOneOfSixteenCells) {
  const CellMap map = map_of(1, {1});
  for (int cell = 0; cell < 16; ++cell)
    // top right, then bottom left of it: row 1, column 2
    EXPECT_EQ(mosaic_score(map, std::vector<int>{1, 2, 3}, 4, cell).path, cell == 6 ? 1 : 0);
  EXPECT_TRUE(std::isnan(mosaic_score(map, std::vector<int>{1}, 4, 6).path));
}

TEST(Mosaic, CellsBetweenTwoPartsAreSplit) {
  // The middle column of three lies half in each part.
  const CellMap map = map_of(3, {0, 4, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_NEAR(mosaic_score(map, {}, 2, 0).mass, 0.5, 1e-12);
  EXPECT_NEAR(mosaic_score(map, {}, 2, 1).mass, 0.5, 1e-12);
}

TEST(Mosaic, AConstantMapHasChance) {
  double argmax = 0;
  for (int cell = 0; cell < 4; ++cell) {
    const MosaicScore score = mosaic_score(map_of(6, std::vector<float>(36, 2)), {}, 2, cell);
    EXPECT_NEAR(score.mass, 0.25, 1e-12);
    argmax += score.argmax;
  }
  EXPECT_EQ(argmax, 1);
  EXPECT_TRUE(std::isnan(mosaic_score(map_of(2, {-1, 0, 0, -2}), {}, 2, 0).mass));
}

TEST(Mosaic, IsWithinReachWhenAllClassesAreInTheTopTen) {
  std::vector<float> logits;
  for (int k = 0; k < 20; ++k) logits.push_back(static_cast<float>(-k));
  EXPECT_TRUE(within_reach(logits, std::vector<int>{0, 3, 9}));
  EXPECT_FALSE(within_reach(logits, std::vector<int>{0, 3, 10}));
}

}  // namespace
}  // namespace nestvit

// Rank correlation and structural similarity by hand.
#include "metrics/similarity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace nestvit {
namespace {

using Values = std::vector<double>;

TEST(Spearman, SeesOrderAlone) {
  EXPECT_EQ(spearman(Values{1, 2, 3, 4}, Values{0.1, 5, 6, 1000}), 1);
  EXPECT_EQ(spearman(Values{1, 2, 3, 4}, Values{4, 3, 2, 1}), -1);
  // d = 1, 1, 0, 0: 1 - 6 * 2 / (4 * 15)
  EXPECT_DOUBLE_EQ(spearman(Values{1, 2, 3, 4}, Values{2, 1, 3, 4}), 0.8);
}

TEST(Spearman, EqualValuesShareTheirMeanRank) {
  // ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3: 4.5 / sqrt(4.5 * 5)
  EXPECT_DOUBLE_EQ(spearman(Values{1, 2, 2, 3}, Values{1, 2, 3, 4}), 4.5 / std::sqrt(22.5));
}

TEST(Spearman, OfAMapWithItselfIsExactlyOne) {
  const Values map = {0.3, -2, 0.3, 7, 1e-9, 4, 4, 0};
  EXPECT_EQ(spearman(map, map), 1);
}

TEST(Spearman, OfAConstantIsUndefined) {
  EXPECT_TRUE(std::isnan(spearman(Values{1, 1, 1}, Values{1, 2, 3})));
}

TEST(StructuralSimilarity, OneWindowByHand) {
  // One window of 3 x 3: a holds 4, three 0 and five 1; b is 2. Means 1 and 2, variances 12/8 and
  // 0, covariance 0, range 4.
  Values a(9, 1), b(9, 2);
  a[0] = 4;
  a[1] = a[2] = a[3] = 0;
  const double c1 = 0.04 * 0.04, c2 = 0.12 * 0.12;
  const double expected = (2 * 1 * 2 + c1) * c2 / ((1 + 4 + c1) * (1.5 + c2));
  EXPECT_NEAR(structural_similarity(a, b, 3), expected, 1e-12);
}

TEST(StructuralSimilarity, OfAMapWithItselfIsOne) {
  Values map(64);
  for (size_t i = 0; i < map.size(); ++i) map[i] = std::sin(static_cast<double>(i));
  EXPECT_NEAR(structural_similarity(map, map, 8), 1, 1e-12);
  EXPECT_EQ(structural_similarity(Values(4, 0), Values(4, 0), 2), 1);
}

TEST(StructuralSimilarity, OfAMapWithItsNegativeIsFarFromOne) {
  Values map(64), negative(64);
  for (size_t i = 0; i < map.size(); ++i) {
    map[i] = std::sin(static_cast<double>(i));
    negative[i] = -map[i];
  }
  EXPECT_LT(structural_similarity(map, negative, 8), 0);
}

}  // namespace
}  // namespace nestvit

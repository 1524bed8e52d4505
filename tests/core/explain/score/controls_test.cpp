// The controls point where they must.
#include "explain/score/controls.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace nestvit {
namespace {

constexpr Grid kGrid{4, 8};  // 32 x 32 pixels

TEST(Controls, RandomMapsHaveNoTiesAndFollowTheSeed) {
  const CellMap map = random_map(kGrid, 1, 2);
  std::vector<float> sorted = map.values;
  std::sort(sorted.begin(), sorted.end());
  for (int i = 0; i < 16; ++i) EXPECT_FLOAT_EQ(sorted[i], static_cast<float>(i + 1) / 16);
  EXPECT_EQ(map.values, random_map(kGrid, 1, 2).values);
  EXPECT_NE(map.values, random_map(kGrid, 1, 3).values);
  EXPECT_NE(map.values, random_map(kGrid, 2, 2).values);
}

TEST(Controls, TheCentreIsAGaussianOfAQuarterOfTheImage) {
  const CellMap map = centre_map(kGrid);
  const auto at = [&](int y, int x) { return map.values[y * 4 + x]; };
  EXPECT_GT(at(1, 1), at(0, 1));
  EXPECT_GT(at(0, 1), at(0, 0));
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 4; ++x) EXPECT_EQ(at(y, x), at(3 - y, 3 - x));
  // One pixel to a cell: the ratio of neighbours is the Gaussian's, 15.5 and 14.5 from the middle.
  const CellMap fine = centre_map({32, 1});
  EXPECT_NEAR(fine.values[1] / fine.values[0],
              std::exp((15.5 * 15.5 - 14.5 * 14.5) / (2 * 8.0 * 8.0)), 1e-5);
}

TEST(Controls, EdgesAreWhereTheImageChanges) {
  std::vector<float> image(static_cast<size_t>(3) * 32 * 32);
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < 32; ++y)
      for (int x = 12; x < 32; ++x) image[(c * 32 + y) * 32 + x] = 1;  // a step at x = 12
  const CellMap map = edge_map(kGrid, image, 3);
  // Sobel sees a step of 1 as 4 on either side of it: columns 11 and 12, both in the second cell.
  for (int y = 0; y < 4; ++y) {
    EXPECT_NEAR(map.values[y * 4 + 1], 2 * 4 * 8, 1e-4);
    EXPECT_EQ(map.values[y * 4 + 0], 0);
    EXPECT_EQ(map.values[y * 4 + 2], 0);
  }
  EXPECT_EQ(edge_map(kGrid, std::vector<float>(32 * 32, 5), 1).sum, 0);
}

}  // namespace
}  // namespace nestvit

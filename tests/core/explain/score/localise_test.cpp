// Components, boxes and thresholds by hand.
#include "explain/score/localise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace nestvit {
namespace {

// '#': in the mask. Rows of one length.
std::optional<Component> component_of(const std::vector<std::string>& rows) {
  std::vector<uint8_t> mask;
  for (const std::string& row : rows)
    for (const char c : row) mask.push_back(c == '#');
  return largest_component(mask, static_cast<int>(rows.size()), static_cast<int>(rows[0].size()));
}

void expect_box(const std::optional<Component>& c, int64_t pixels, int y0, int x0, int y1, int x1) {
  ASSERT_TRUE(c);
  EXPECT_EQ(c->pixels, pixels);
  EXPECT_EQ(std::vector({c->y0, c->x0, c->y1, c->x1}), std::vector({y0, x0, y1, x1}));
}

TEST(Component, OfACShapeIsOne) {
  expect_box(component_of({"........", "..#####.", "..#.....", "..#..##.", "..#####."}), 15 - 1, 1,
             2, 4, 6);
}

TEST(Component, DiagonalsTouch) {
  expect_box(component_of({"#...", ".#..", "..#.", "...#"}), 4, 0, 0, 3, 3);
  expect_box(component_of({"...#", "..#.", ".#..", "#..."}), 4, 0, 0, 3, 3);
}

TEST(Component, ABorderIsNoNeighbour) {
  // The end of a row and the start of the next are not beside each other.
  expect_box(component_of({"...##", "#....", "....."}), 2, 0, 3, 0, 4);
  expect_box(component_of({"##.##", "##.##"}), 4, 0, 0, 1, 1);
}

TEST(Component, OfEqualOnesItIsTheFirst) {
  expect_box(component_of({".....", "..##.", ".....", "##..."}), 2, 1, 2, 1, 3);
  expect_box(component_of({"#....", ".....", "..##."}), 2, 2, 2, 2, 3);  // the larger one
}

TEST(Component, OfNothingIsNone) { EXPECT_FALSE(component_of({"...", "..."})); }

TEST(Component, OfEverythingIsThePicture) {
  const std::vector<uint8_t> mask(224 * 224, 1);
  const auto found = largest_component(mask, 224, 224);
  expect_box(found, 224 * 224, 0, 0, 223, 223);
}

TEST(BoxIou, CornersAreInclusive) {
  EXPECT_EQ(box_iou({0, 0, 1, 1}, {0, 0, 1, 1}), 1);
  EXPECT_DOUBLE_EQ(box_iou({0, 0, 1, 1}, {1, 1, 2, 2}), 1.0 / 7);
  EXPECT_EQ(box_iou({0, 0, 1, 1}, {2, 0, 3, 1}), 0);
  EXPECT_EQ(box_iou({5, 5, 5, 5}, {5, 5, 5, 5}), 1);
  EXPECT_DOUBLE_EQ(best_iou({0, 0, 1, 1}, std::vector<ObjectBox>{{2, 2, 3, 3}, {0, 0, 1, 0}}), 0.5);
}

TEST(Squashed, CutsToWholePixels) {
  EXPECT_EQ(squashed({100, 50, 499, 374}, 375, 500, 224), (ObjectBox{44, 29, 223, 223}));
  EXPECT_EQ(squashed({0, 0, 0, 0}, 375, 500, 224), (ObjectBox{0, 0, 0, 0}));
}

CellMap map_of(int side, std::vector<float> values) {
  CellMap map;
  map.rows = map.columns = side;
  map.values = std::move(values);
  return map;
}

TEST(Enlarged, KeepsConstantsAndWhatHasTheSizeAlready) {
  for (const double value : enlarged(map_of(3, std::vector<float>(9, 0.25f)), 17))
    EXPECT_NEAR(value, 0.25, 1e-12);
  const CellMap map = map_of(3, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(enlarged(map, 3), (std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(Enlarged, IsBicubicWithMinusThreeQuarters) {
  // Twice as large: outputs lie a quarter beside inputs. Weights at -1.25, -0.25, 0.75, 1.75 by the
  // polynomials of a = -0.75.
  const std::vector<double> w = {-0.10546875, 0.87890625, 0.26171875, -0.03515625};
  EXPECT_DOUBLE_EQ(w[0] + w[1] + w[2] + w[3], 1);
  CellMap square = map_of(6, std::vector<float>(36));
  for (int y = 0; y < 6; ++y) square.values[y * 6 + 2] = 1;
  const std::vector<double> result = enlarged(square, 12);
  // Output 5 is at 2.25: between inputs 2 and 3, a quarter from the hot one; output 6 at 2.75;
  // output 3 at 1.25 has the hot one 0.75 above it, output 2 at 0.75 has it 1.25 above.
  EXPECT_NEAR(result[5], w[1], 1e-12);
  EXPECT_NEAR(result[6], w[2], 1e-12);
  EXPECT_NEAR(result[3], w[2], 1e-12);
  EXPECT_NEAR(result[2], w[0], 1e-12);
  EXPECT_NEAR(result[8], w[3], 1e-12);
}

TEST(Cvpr16, TakesAFifthOfTheMaximum) {
  std::vector<double> map(25);
  map[6] = 1;     // row 1, column 1
  map[7] = 0.2;   // just in
  map[8] = 0.19;  // just out
  map[24] = 0.9;  // a smaller component
  EXPECT_EQ(cvpr16_box(map, 5), (ObjectBox{1, 1, 2, 1}));
  EXPECT_FALSE(cvpr16_box(std::vector<double>(25), 5));
  EXPECT_FALSE(cvpr16_box(std::vector<double>(25, -1), 5));
}

TEST(MaxBoxAcc, MapsAreScaledToBytes) {
  EXPECT_EQ(scaled_to_bytes(std::vector<double>{-1, 0, 1}), (std::vector<uint8_t>{0, 127, 255}));
  EXPECT_EQ(scaled_to_bytes(std::vector<double>{4, 4}), (std::vector<uint8_t>{0, 0}));
}

TEST(MaxBoxAcc, PixelsAreStrictlyAboveTheThreshold) {
  std::vector<uint8_t> bytes(36);
  bytes[7] = 255;  // row 1, column 1
  bytes[8] = 127;  // row 1, column 2
  bytes[9] = 1;    // row 1, column 3
  const std::vector<ObjectBox> boxes = maxboxacc_boxes(bytes, 6, 6);
  ASSERT_EQ(boxes.size(), 1000u);
  // As wsolevaluation has it a box ends a pixel behind its last one.
  EXPECT_EQ(boxes[0], (ObjectBox{1, 1, 4, 2}));    // above 0
  EXPECT_EQ(boxes[3], (ObjectBox{1, 1, 4, 2}));    // int(0.765) is 0
  EXPECT_EQ(boxes[4], (ObjectBox{1, 1, 3, 2}));    // int(1.02) is 1, and 1 is not above it
  EXPECT_EQ(boxes[498], (ObjectBox{1, 1, 3, 2}));  // int(126.99)
  EXPECT_EQ(boxes[499], (ObjectBox{1, 1, 2, 2}));  // int(127.245)
  EXPECT_EQ(boxes[999], (ObjectBox{1, 1, 2, 2}));
}

TEST(MaxBoxAcc, BoxesEndInThePictureAndNothingIsTheFirstPixel) {
  std::vector<uint8_t> bytes(9);
  EXPECT_EQ(maxboxacc_boxes(bytes, 3, 3)[0], (ObjectBox{0, 0, 0, 0}));
  bytes[8] = 255;
  EXPECT_EQ(maxboxacc_boxes(bytes, 3, 3)[0], (ObjectBox{2, 2, 2, 2}));
}

TEST(MaxBoxAcc, TheBestThresholdIsTheFirstOfEqualOnes) {
  MaxBoxAcc accuracy;
  std::vector<double> ious(kThresholds, 0.1);
  std::fill(ious.begin() + 200, ious.begin() + 300, 0.6);
  accuracy.add(ious);
  ious.assign(kThresholds, 0.3);
  ious[250] = 0.69;
  accuracy.add(ious);
  EXPECT_EQ(accuracy.images(), 2);
  EXPECT_EQ(accuracy.best(0), 200);  // both at 0.3
  EXPECT_EQ(accuracy.best(1), 250);  // both at 0.5
  EXPECT_EQ(accuracy.best(2), 0);    // none at 0.7
  EXPECT_EQ(accuracy.hits(1, 200), (std::vector<double>{1, 0}));
  EXPECT_EQ(accuracy.hits(1, 250), (std::vector<double>{1, 1}));
}

}  // namespace
}  // namespace nestvit

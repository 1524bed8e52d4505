// Cards of explanations: pixels that must hold. How they look is for eyes.
#include "report/explanation/card.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <optional>

#include "image/codecs/codec.h"
#include "report/explanation/heat.h"
#include "report/explanation/words.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

using Rgb = std::array<uint8_t, 3>;

constexpr Rgb kMagenta{255, 0, 255}, kDimMagenta{89, 0, 89};  // 0.35 of it
constexpr Rgb kRim{20, 23, 28}, kWhite{255, 255, 255}, kInk{33, 38, 46};

Rgb at(const Image& image, int y, int x) {
  const size_t i = (static_cast<size_t>(y) * image.width + x) * 3;
  return {image.pixels.at(i), image.pixels.at(i + 1), image.pixels.at(i + 2)};
}

int count(const Image& image, Rgb colour) {
  int found = 0;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) found += at(image, y, x) == colour;
  return found;
}

Image plain(int height, int width, Rgb colour) {
  Image image{height, width, 3, std::vector<uint8_t>(static_cast<size_t>(height) * width * 3)};
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = colour[i % 3];
  return image;
}

// [32, 32]: 8 x 8 blocks of 4 x 4 pixels, each of its own colour.
Rgb block_colour(int row, int column) {
  return {static_cast<uint8_t>(30 * row + 20), static_cast<uint8_t>(30 * column + 10), 200};
}
Image coloured_blocks() {
  Image image{32, 32, 3, {}};
  for (int y = 0; y < 32; ++y)
    for (int x = 0; x < 32; ++x)
      for (const uint8_t c : block_colour(y / 4, x / 4)) image.pixels.push_back(c);
  return image;
}

struct Place {
  int y, x;
};
// The first square of `edge` of one colour at or right of `from`.
std::optional<Place> square_of(const Image& image, Rgb colour, int edge, int from) {
  std::vector<int> above(static_cast<size_t>(image.width) + 1), here(above.size());
  for (int y = 0; y < image.height; ++y) {
    std::fill(here.begin(), here.end(), 0);
    for (int x = from; x < image.width; ++x) {
      const size_t i = static_cast<size_t>(x) + 1;
      if (at(image, y, x) == colour) here[i] = 1 + std::min({here[i - 1], above[i], above[i - 1]});
      if (here[i] >= edge) return Place{y - edge + 1, x - edge + 1};
    }
    std::swap(above, here);
  }
  return std::nullopt;
}

// A tree of `levels` over an input of `size` pixels at `extent` of the original; every node is
// chosen by the quadrants of `path`, and shares are 0.7 and 0.1.
Tree tree_of(int levels, int size, const PixelBox& extent, const std::vector<int>& path) {
  Tree tree;
  TreeNode root;
  root.level = levels - 1;
  root.input_box = {0, 0, static_cast<double>(size), static_cast<double>(size)};
  root.box = extent;
  tree.nodes.push_back(root);
  const double scale = (extent[2] - extent[0]) / size;
  int on_path = 0;
  for (int parent = 0; parent < std::ssize(tree.nodes); ++parent) {
    const TreeNode above = tree.nodes[static_cast<size_t>(parent)];
    if (above.level == 0) break;
    const size_t step = static_cast<size_t>(levels - 1 - above.level);
    const double half = (above.input_box[2] - above.input_box[0]) / 2;
    for (int q = 0; q < 4; ++q) {
      TreeNode node;
      node.level = above.level - 1;
      node.parent = parent;
      node.quadrant = q;
      const double x = above.input_box[0] + q % 2 * half, y = above.input_box[1] + q / 2 * half;
      node.input_box = {x, y, x + half, y + half};
      node.box = PixelBox{extent[0] + scale * x, extent[1] + scale * y,
                          extent[0] + scale * (x + half), extent[1] + scale * (y + half)};
      node.share = node.score = q == path.at(step) ? 0.7 : 0.1;
      node.chosen = parent == on_path && q == path.at(step);
      tree.nodes.push_back(node);
    }
    if (parent != on_path) continue;
    on_path = static_cast<int>(std::ssize(tree.nodes)) - 4 + path.at(step);
    PathStep chosen;
    chosen.level = above.level;
    chosen.quadrant = path.at(step);
    chosen.node = on_path;
    tree.path.push_back(chosen);
  }
  return tree;
}

ExplanationRecord explanation_of(const Image& image, const PixelBox& seen) {
  ExplanationRecord why;
  why.file = "folder/picture.png";
  why.width = image.width;
  why.height = image.height;
  why.seen = why.extent = seen;
  why.method = "gradcat";
  why.predictions = {{3, "cat", 0.8, 5.0}, {5, "dog", 0.1, 3.0}};
  why.target.index = 3;
  why.target.label = "cat";
  why.target.value = 5;
  return why;
}

CellMap map_of(int side, std::vector<float> values, bool is_signed) {
  CellMap map;
  map.rows = map.columns = side;
  map.cell = 8;
  map.values = std::move(values);
  map.is_signed = is_signed;
  return map;
}

class ExplanationCard : public ::testing::Test {
 protected:
  Image card(const Image& image, std::vector<ExplanationRecord> why, CardOptions options = {}) {
    write_explanation_card(path_, {image, std::move(why)}, options);
    Image drawn = read_image(path_, {});
    return drawn;
  }
  // Where the photo begins: its corner has this colour, which is nowhere above it.
  static Place photo(const Image& card, Rgb corner) {
    for (int y = 0; y < card.height; ++y)
      for (int x = 0; x < card.width; ++x)
        if (at(card, y, x) == corner) return {y, x};
    ADD_FAILURE() << "no photo";
    return {0, 0};
  }

  const testing::TempDir folder_;
  const std::filesystem::path path_ = folder_ / "card.png";
};

TEST_F(ExplanationCard, WhatWasNotSeenIsDimmedToTheThird) {
  const Image image = plain(240, 300, kMagenta);
  const Image drawn = card(image, {explanation_of(image, {50, 20, 250, 220})});
  EXPECT_EQ(count(drawn, kMagenta), 200 * 200);
  EXPECT_EQ(count(drawn, kDimMagenta), 240 * 300 - 200 * 200);
  const auto [y, x] = photo(drawn, kDimMagenta);
  EXPECT_EQ(at(drawn, y + 20, x + 50), kMagenta);
  EXPECT_EQ(at(drawn, y + 20, x + 49), kDimMagenta);
  EXPECT_EQ(at(drawn, y + 219, x + 249), kMagenta);
  EXPECT_EQ(at(drawn, y + 220, x + 249), kDimMagenta);
}

TEST_F(ExplanationCard, BoxesLieOnTheRegionsOfThePath) {
  const Image image = plain(280, 300, kMagenta);
  ExplanationRecord why = explanation_of(image, {20, 20, 260, 260});
  why.tree = tree_of(3, 240, {20, 20, 260, 260}, {0, 3});  // [20, 140), in it [80, 140)
  Image drawn = card(image, {why});
  const auto [top, left] = photo(drawn, kDimMagenta);
  const auto row = [&, y = top, x = left](int dy, int from, const std::vector<Rgb>& colours) {
    for (size_t i = 0; i < colours.size(); ++i)
      EXPECT_EQ(at(drawn, y + dy, x + from + static_cast<int>(i)), colours[i]) << dy << ' ' << i;
  };
  // The quarter: two white pixels between rims, just inside its edges.
  row(60, 19, {kDimMagenta, kRim, kWhite, kWhite, kRim, kMagenta});
  // The last box: three white pixels; where it meets the quarter's edge it moves inwards.
  row(115, 79, {kMagenta, kRim, kWhite, kWhite, kWhite, kRim, kMagenta});
  row(115, 129,
      {kMagenta, kRim, kWhite, kWhite, kWhite, kRim, kMagenta, kRim, kWhite, kWhite, kRim,
       kMagenta});
  for (int i = 0; i < 4; ++i)  // the quarter's lower edge
    EXPECT_EQ(at(drawn, top + 136 + i, left + 50), (i == 0 || i == 3) ? kRim : kWhite) << i;
  why.tree = tree_of(3, 240, {20, 20, 260, 260}, {3, 0});  // [140, 260), in it [140, 200)
  drawn = card(image, {why});
  row(170, 139,
      {kMagenta, kRim, kWhite, kWhite, kRim, kMagenta, kRim, kWhite, kWhite, kWhite, kRim,
       kMagenta});
}

TEST_F(ExplanationCard, UndecidedStepsAreGreyAndSaySo) {
  const Image image = coloured_blocks();
  ExplanationRecord why = explanation_of(image, {0, 0, 32, 32});
  why.tree = tree_of(4, 32, {0, 0, 32, 32}, {0, 0, 3});
  const int right = 24 + 448;  // of the photo, 14 pixels to one
  const Image decided = card(image, {why});
  EXPECT_TRUE(square_of(decided, block_colour(1, 1), 60, right));
  why.tree->path[2].decided = false;
  const Image undecided = card(image, {why});
  EXPECT_FALSE(square_of(undecided, block_colour(1, 1), 60, right));
  EXPECT_TRUE(square_of(undecided, block_colour(1, 1), 18, right));  // the rows above keep colour
  EXPECT_LT(count(undecided, kInk), count(decided, kInk));           // no thick edge
  EXPECT_EQ(path_words(*why.tree), "Path: 1 top left (70 %) → 2 top left (70 %) → 3 undecided");
}

// 1 + 4 + 16 + 64 nodes: of the last row the children of the path's node, no others.
TEST_F(ExplanationCard, DeepRowsShowTheChildrenOfThePath) {
  const Image image = coloured_blocks();
  ExplanationRecord why = explanation_of(image, {0, 0, 32, 32});
  why.tree = tree_of(4, 32, {0, 0, 32, 32}, {1, 2, 3});  // rows 2, 3; columns 4, 5; the last of 4
  const Image drawn = card(image, {why});
  const int right = 24 + 448;
  for (const auto& [row, column] : {std::pair{2, 4}, {2, 5}, {3, 4}, {3, 5}})
    EXPECT_TRUE(square_of(drawn, block_colour(row, column), 60, right)) << row << ' ' << column;
  for (int row = 1; row < 8; row += 2)
    for (int column = 1; column < 8; column += 2) {
      if (row == 3 && column == 5) continue;
      EXPECT_FALSE(square_of(drawn, block_colour(row, column), 22, right)) << row << ' ' << column;
      // Half the edge of its sixteenth's thumbnail.
      EXPECT_TRUE(square_of(drawn, block_colour(row, column), 18, right)) << row << ' ' << column;
    }
  // The leaf chosen has a thick frame in ink, its neighbours a hairline.
  const auto beside = [&](int row, int column) {
    const Rgb colour = block_colour(row, column);
    Place place = square_of(drawn, colour, 60, right).value_or(Place{0, 0});
    while (at(drawn, place.y + 30, place.x) == colour) ++place.x;
    return at(drawn, place.y + 30, place.x + 1);
  };
  EXPECT_EQ(beside(3, 5), kInk);
  EXPECT_EQ(beside(3, 4), kWhite);
  EXPECT_EQ(beside(2, 5), kWhite);
}

TEST_F(ExplanationCard, PaddingStaysEmptyInThumbnails) {
  const Image image = plain(128, 32, kMagenta);  // in the middle of a square input of 128
  ExplanationRecord why = explanation_of(image, {0, 0, 32, 128});
  why.extent = {-48, 0, 80, 128};
  why.tree = tree_of(3, 128, why.extent, {0, 1});
  for (TreeNode& node : why.tree->nodes) {
    PixelBox box = *node.box;
    box[0] = std::max(box[0], 0.0);
    box[2] = std::min(box[2], 32.0);
    node.box = box[0] < box[2] ? OriginalBox(box) : OriginalBox();
  }
  const Image drawn = card(image, {why});
  const int right = 24 + 300;  // beyond the photo's column
  // Of the root's 96 or more pixels a quarter in the middle holds the image.
  const auto root = square_of(drawn, kMagenta, 24, right);
  ASSERT_TRUE(root);
  EXPECT_EQ(at(drawn, root->y, root->x - 1), at(drawn, root->y + 10, root->x - 1));
  EXPECT_NE(at(drawn, root->y, root->x - 1), kMagenta);
  EXPECT_FALSE(square_of(drawn, kMagenta, 40, right));
}

TEST_F(ExplanationCard, HeatLiesOnTheGreyPhoto) {
  const Image image = plain(240, 300, kMagenta);
  ExplanationRecord why = explanation_of(image, {50, 20, 250, 220});
  why.method = "relevance";
  why.maps = {map_of(2, {0, 1, 2, 4}, false)};
  const int grey = to_channels(plain(1, 1, kMagenta), 1).pixels[0];
  const Rgb dim{static_cast<uint8_t>(std::lround(0.35 * grey)),
                static_cast<uint8_t>(std::lround(0.35 * grey)),
                static_cast<uint8_t>(std::lround(0.35 * grey))};
  const auto expect_heat = [&](Rgb found, double value, double tolerance) {
    const HeatColour colour = heat_colour({false, 4}, value);
    for (size_t c = 0; c < 3; ++c)
      EXPECT_NEAR(found[c], 0.55 * colour[c] + 0.45 * grey, tolerance) << value << ' ' << c;
  };
  const Image cells = card(image, {why});
  const auto [y, x] = photo(cells, dim);
  EXPECT_EQ(at(cells, y + 239, x), dim);
  expect_heat(at(cells, y + 20, x + 50), 0, 0.51);
  expect_heat(at(cells, y + 119, x + 149), 0, 0.51);
  expect_heat(at(cells, y + 119, x + 150), 1, 0.51);  // cells are drawn as cells
  expect_heat(at(cells, y + 120, x + 149), 2, 0.51);
  expect_heat(at(cells, y + 219, x + 249), 4, 0.51);

  const Image smooth = card(image, {why}, {true});
  expect_heat(at(smooth, y + 20, x + 50), 0, 0.51);
  expect_heat(at(smooth, y + 219, x + 249), 4, 0.51);
  // A quarter of the way between the centres of the lower cells; half pixels count 0.01 of 2.
  expect_heat(at(smooth, y + 219, x + 125), 2.5, 1.5);
  expect_heat(at(smooth, y + 219, x + 175), 3.5, 1.5);
}

TEST_F(ExplanationCard, LegendEndsAtTheLargestValueOfAllColumns) {
  const Image image = plain(240, 300, kMagenta);
  ExplanationRecord strong = explanation_of(image, {0, 0, 300, 240}), weak = strong;
  strong.maps = {map_of(1, {4}, true)};
  weak.maps = {map_of(1, {2}, true)};
  const int grey = to_channels(plain(1, 1, kMagenta), 1).pixels[0];
  const auto heated = [&](double share) {
    const HeatColour colour = heat_colour({true, 1}, share);
    Rgb mixed{};
    for (size_t c = 0; c < 3; ++c)
      mixed[c] = static_cast<uint8_t>(0.55 * colour[c] + 0.45 * grey + 0.5);
    return mixed;
  };
  const Image alone = card(image, {weak});
  EXPECT_EQ(count(alone, heated(1)), 240 * 300);
  // Both ends of the scale, 14 pixels high.
  for (const double end : {-1.0, 1.0}) EXPECT_GE(count(alone, heat_colour({true, 1}, end)), 14);
  const Image both = card(image, {strong, weak});
  EXPECT_EQ(count(both, heated(1)), 240 * 300);
  EXPECT_EQ(count(both, heated(0.5)), 240 * 300);
}

TEST_F(ExplanationCard, AMapWithNothingPositiveHasNoHeat) {
  const Image image = plain(240, 300, kMagenta);
  ExplanationRecord why = explanation_of(image, {0, 0, 300, 240});
  why.maps = {map_of(2, {-4, -1, 0, -2}, true)};
  const Image drawn = card(image, {why});
  const uint8_t grey = to_channels(plain(1, 1, kMagenta), 1).pixels[0];
  const int shown = count(drawn, {grey, grey, grey});
  EXPECT_GT(shown, 240 * 300 * 8 / 10);
  EXPECT_LT(shown, 240 * 300);                             // the words stand on it
  EXPECT_EQ(count(drawn, heat_colour({true, 1}, -1)), 0);  // and there is no scale
}

TEST_F(ExplanationCard, ClassesStandSideBySide) {
  const Image image = plain(240, 300, kMagenta);
  ExplanationRecord why = explanation_of(image, {0, 0, 300, 240});
  const Image one = card(image, {why});
  const Image two = card(image, {why, why});
  EXPECT_EQ(count(two, kMagenta), 2 * count(one, kMagenta));
  EXPECT_GT(two.width, one.width + 300);
}

TEST_F(ExplanationCard, LargePhotosAreScaledAndTinyOnesEnlargedByWholePixels) {
  const Image large = plain(1500, 3000, kMagenta);
  const ExplanationRecord why = explanation_of(large, {0, 0, 3000, 1500});
  EXPECT_EQ(count(card(large, {why}), kMagenta), 512 * 1024);
  const Image tiny = plain(30, 30, kMagenta);
  EXPECT_EQ(count(card(tiny, {explanation_of(tiny, {0, 0, 30, 30})}), kMagenta), 420 * 420);
}

TEST_F(ExplanationCard, AnyImageAndAnyTextIsDrawn) {
  for (const auto& [height, width] : {std::pair{1, 1}, {3, 4000}, {4000, 3}, {40, 700}}) {
    const Image image = plain(height, width, kMagenta);
    const double side = std::min(height, width);
    ExplanationRecord why = explanation_of(image, {0, 0, side, side});
    why.tree = tree_of(3, 224, {0, 0, side, side}, {3, 0});
    why.target.label = std::string(3000, 'w');
    why.target.against = 5;
    why.target.against_label = "a\xc3 \n\x01";
    why.predictions = {{3, "\xed\xa0\x80", -1, 0}, {5, "", 2, 0}};
    why.file = std::string(3000, 'f') + "\xff";
    const Image drawn = card(image, {why, why});
    EXPECT_LT(drawn.width, 2400);
    EXPECT_LT(drawn.height, 2400);
    EXPECT_GT(count(drawn, kMagenta), 0);
  }
}

TEST_F(ExplanationCard, OneLevelHasNoTree) {
  const Image image = plain(240, 300, kMagenta);
  ExplanationRecord why = explanation_of(image, {0, 0, 300, 240});
  why.tree = tree_of(1, 224, {0, 0, 300, 240}, {});
  EXPECT_EQ(count(card(image, {why}), kMagenta), 240 * 300);
  EXPECT_THROW(card({}, {why}), Error);
}

TEST_F(ExplanationCard, SheetGrowsWithTheImages) {
  const Image image = plain(32, 32, kMagenta);
  const std::vector<ExplainedImage> images(5, {image, {explanation_of(image, {0, 0, 32, 32})}});
  const auto sheet = [&](size_t number) {
    write_explanation_sheet(path_, {images.begin(), images.begin() + static_cast<long>(number)}, 2);
    return read_image(path_, {});
  };
  const Image one = sheet(1), five = sheet(5);
  EXPECT_EQ(count(one, kMagenta), 288 * 288);
  EXPECT_EQ(count(five, kMagenta), 5 * 288 * 288);
  EXPECT_GT(five.width, one.width * 3 / 2);
  EXPECT_GT(five.height, one.height * 5 / 2);
  EXPECT_THROW(write_explanation_sheet(path_, {}), Error);
}

}  // namespace
}  // namespace nestvit

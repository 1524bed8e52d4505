// Affine maps: which pixel is read, how half positions round, what lies outside.
#include "image/augment/geometric.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::gradient;

constexpr uint8_t kOutside = 128;  // what the official code fills with

uint8_t at(const Image& image, int y, int x, int c = 0) {
  return image.pixels[(static_cast<size_t>(y) * image.width + x) * image.channels + c];
}

// Pixels 1, 2, 3, ... of one row.
Image row(int width) {
  Image image{1, width, 1, {}};
  for (int x = 0; x < width; ++x) image.pixels.push_back(static_cast<uint8_t>(x + 1));
  return image;
}

TEST(Transformed, TheIdentityChangesNothing) {
  for (const int channels : {1, 3}) {
    const Image image = gradient(7, 5, channels);
    EXPECT_EQ(transformed(image, {}), image);
    EXPECT_EQ(transformed(image, rotation(0, 7, 5)), image);
  }
}

TEST(Transformed, OutputReadsTheInputAtItsPlace) {
  const Image image = gradient(6, 9);
  const Image moved = transformed(image, {.c = 2, .f = -1});
  for (int y = 0; y < 6; ++y)
    for (int x = 0; x < 9; ++x)
      for (int c = 0; c < 3; ++c)
        EXPECT_EQ(at(moved, y, x, c), x + 2 < 9 && y > 0 ? at(image, y - 1, x + 2, c) : kOutside);
  const Image swapped = transformed(image, {.a = 0, .b = 1, .d = 1, .e = 0});
  for (int y = 0; y < 6; ++y)
    for (int x = 0; x < 6; ++x) EXPECT_EQ(at(swapped, y, x), at(image, x, y));
}

TEST(Transformed, HalfPositionsRoundAwayFromZero) {
  EXPECT_EQ(transformed(row(4), {.c = 0.5f}).pixels, (std::vector<uint8_t>{2, 3, 4, kOutside}));
  EXPECT_EQ(transformed(row(4), {.c = 0.49f}).pixels, (std::vector<uint8_t>{1, 2, 3, 4}));
  EXPECT_EQ(transformed(row(4), {.c = -0.5f}).pixels, (std::vector<uint8_t>{kOutside, 2, 3, 4}));
  EXPECT_EQ(transformed(row(4), {.c = -0.49f}).pixels, (std::vector<uint8_t>{1, 2, 3, 4}));
}

TEST(Transformed, FarPositionsLieOutside) {
  constexpr float kInfinite = std::numeric_limits<float>::infinity();
  const Image image = gradient(3, 4);
  for (const float far : {4.0f, 1e6f, 3e9f, 1e30f, kInfinite, -4.0f, -1e30f, -kInfinite})
    for (const Affine& affine : {Affine{.c = far}, Affine{.f = far}})
      EXPECT_EQ(transformed(image, affine).pixels, std::vector<uint8_t>(image.size(), kOutside))
          << far;
}

TEST(Rotation, ByRightAnglesIsCounterClockwise) {
  for (const int side : {1, 4, 5}) {
    const Image image = gradient(side, side);
    const Image quarter = transformed(image, rotation(90, side, side));
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x) EXPECT_EQ(at(quarter, y, x), at(image, x, side - 1 - y));
    Image turned = quarter;
    for (int i = 0; i < 3; ++i) turned = transformed(turned, rotation(90, side, side));
    EXPECT_EQ(turned, image);
    EXPECT_EQ(transformed(image, rotation(-90, side, side)),
              transformed(quarter, rotation(180, side, side)));
  }
}

TEST(Rotation, KeepsTheCentreAndLosesTheCorners) {
  const Image image = gradient(9, 9);
  const Image turned = transformed(image, rotation(45, 9, 9));
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(at(turned, 4, 4, c), at(image, 4, 4, c));
    EXPECT_EQ(at(turned, 0, 0, c), kOutside);
  }
}

}  // namespace
}  // namespace nestvit

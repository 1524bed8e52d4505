// Pillow's operations by their definitions, and what must hold for images of any size. Whole images
// against Pillow itself: timm_augment_test.cpp.
#include "image/augment/pillow.h"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

#include "image/codecs/codec.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::gradient;

uint8_t at(const Image& image, int y, int x, int c = 0) {
  return image.pixels[(static_cast<size_t>(y) * image.width + x) * image.channels + c];
}

TEST(Pillow, PointOperations) {
  const Image image = gradient(9, 13);
  for (const int bits : {0, 1, 4, 8}) {
    const Image few = pillow_posterize(image, bits);
    for (size_t i = 0; i < image.pixels.size(); ++i)
      EXPECT_EQ(few.pixels[i], image.pixels[i] / (256 >> bits) * (256 >> bits));
  }
  for (const int threshold : {0, 100, 256}) {
    const Image inverted = pillow_solarize(image, threshold);
    for (size_t i = 0; i < image.pixels.size(); ++i) {
      const int v = image.pixels[i];
      EXPECT_EQ(inverted.pixels[i], v < threshold ? v : 255 - v);
    }
  }
}

TEST(Pillow, AutoContrastSpreadsEachChannelOverTheWholeRange) {
  Image image{1, 3, 3, {10, 5, 7, 20, 5, 9, 30, 5, 11}};
  const Image spread = pillow_auto_contrast(image);
  EXPECT_EQ(spread.pixels, (std::vector<uint8_t>{0, 5, 0, 127, 5, 127, 255, 5, 255}));
  EXPECT_EQ(pillow_auto_contrast(spread), spread);
}

// ImageEnhance: a factor of 1 is the image, 0 its grey, flat, black or smooth form.
TEST(Pillow, EnhancementsEndAtTheirTwoForms) {
  const Image image = gradient(11, 8);
  using Enhance = std::function<Image(Image, double)>;
  for (const Enhance& enhance : {Enhance(pillow_color), Enhance(pillow_contrast),
                                 Enhance(pillow_brightness), Enhance(pillow_sharpness)})
    EXPECT_EQ(enhance(image, 1), image);
  const Image luma = to_channels(image, 1);
  EXPECT_EQ(pillow_color(image, 0), to_channels(luma, 3));
  EXPECT_EQ(pillow_color(luma, 0), luma) << "grey already";
  EXPECT_EQ(pillow_brightness(image, 0).pixels, std::vector<uint8_t>(image.size(), 0));
  double sum = 0;
  for (const uint8_t v : luma.pixels) sum += v;
  const auto mean = static_cast<uint8_t>(sum / static_cast<double>(luma.size()) + 0.5);
  EXPECT_EQ(pillow_contrast(image, 0).pixels, std::vector<uint8_t>(image.size(), mean));
}

TEST(Pillow, BlendsAreTruncatedAndClipped) {
  const Image image{1, 4, 1, {0, 3, 130, 255}};
  EXPECT_EQ(pillow_brightness(image, 0.5).pixels, (std::vector<uint8_t>{0, 1, 65, 127}));
  EXPECT_EQ(pillow_brightness(image, 2).pixels, (std::vector<uint8_t>{0, 6, 255, 255}));
}

// ImageFilter.SMOOTH: the centre weighs 5 of 13; the border stays as it is.
TEST(Pillow, SharpnessSmoothsTheInside) {
  Image image{3, 3, 1, std::vector<uint8_t>(9, 0)};
  image.pixels[4] = 130;
  Image expected = image;
  expected.pixels[4] = 50;
  EXPECT_EQ(pillow_sharpness(image, 0), expected);
  const Image flat{5, 6, 3, std::vector<uint8_t>(90, 77)};
  EXPECT_EQ(pillow_sharpness(flat, 0), flat);
  for (const auto& [height, width] : {std::pair{1, 1}, {2, 9}, {9, 2}})
    EXPECT_EQ(pillow_sharpness(gradient(height, width), 0), gradient(height, width));
}

TEST(Pillow, WholeShiftsMovePixelsExactly) {
  const Image image = gradient(6, 9);
  for (const auto interpolation : {Interpolation::kBilinear, Interpolation::kBicubic}) {
    const PillowTransform how{interpolation, {1, 2, 3}};
    EXPECT_EQ(pillow_affine(image, {1, 0, 0, 0, 1, 0}, how), image);
    const Image moved = pillow_affine(image, {1, 0, 2, 0, 1, -1}, how);
    for (int y = 0; y < 6; ++y)
      for (int x = 0; x < 9; ++x)
        for (int c = 0; c < 3; ++c)
          EXPECT_EQ(at(moved, y, x, c),
                    x + 2 < 9 && y > 0 ? at(image, y - 1, x + 2, c) : how.fill[c]);
  }
}

TEST(Pillow, HalfShiftsAreTheMeanOfTwo) {
  const Image image{1, 4, 1, {10, 20, 40, 80}};
  const Image moved = pillow_affine(image, {1, 0, 0.5, 0, 1, 0}, {Interpolation::kBilinear, {200}});
  EXPECT_EQ(moved.pixels, (std::vector<uint8_t>{15, 30, 60, 200})) << "the last one lies outside";
}

TEST(Pillow, RotationByRightAnglesIsExact) {
  for (const int side : {4, 5}) {
    const Image image = gradient(side, side);
    const PillowTransform how{Interpolation::kBicubic, {0, 0, 0}};
    const Image quarter = pillow_rotate(image, 90, how);
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x) EXPECT_EQ(at(quarter, y, x), at(image, x, side - 1 - y));
    EXPECT_EQ(pillow_rotate(quarter, -90, how), image);
    EXPECT_EQ(pillow_rotate(pillow_rotate(image, 180, how), 180, how), image);
    for (const double none : {0.0, 360.0, -720.0})
      EXPECT_EQ(pillow_rotate(image, none, how), image);
  }
}

TEST(Pillow, AnySizeAndOneChannelKeepTheShape) {
  for (const auto& [height, width] : {std::pair{1, 1}, {1, 9}, {9, 1}, {2, 3}, {31, 17}})
    for (const int channels : {1, 3})
      for (const auto interpolation : {Interpolation::kBilinear, Interpolation::kBicubic}) {
        const Image image = gradient(height, width, channels);
        const PillowTransform how{interpolation,
                                  std::vector<uint8_t>(static_cast<size_t>(channels), 9)};
        for (const double degrees : {-30.0, 0.5, 45.0, 179.0}) {
          const Image turned = pillow_rotate(image, degrees, how);
          EXPECT_EQ(turned.height, height);
          EXPECT_EQ(turned.width, width);
          EXPECT_EQ(turned.pixels.size(), image.pixels.size());
        }
        const Image far = pillow_affine(image, {1, 0, 1e6, 0, 1, 0}, how);
        EXPECT_EQ(far.pixels, std::vector<uint8_t>(image.size(), 9));
      }
  EXPECT_THROW(pillow_affine(gradient(2, 2), {1, 0, 0, 0, 1, 0}, {Interpolation::kBicubic, {1}}),
               std::logic_error);
}

}  // namespace
}  // namespace nestvit

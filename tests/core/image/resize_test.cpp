// Pillow's and TensorFlow's resize: small cases by hand, windows against wholes, extreme shapes.
#include "image/resize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::gradient;

Pixels row(std::vector<float> values) {
  return {1, static_cast<int>(values.size()), 1, std::move(values)};
}

// reference.md D.3, from TensorFlow.
TEST(ResizeTf, MatchesTensorFlowOnRows) {
  EXPECT_EQ(resize_tf(row({0, 10, 20, 30}), 1, 2).values, (std::vector<float>{5, 25}));
  EXPECT_EQ(resize_tf(row({0, 10}), 1, 4).values, (std::vector<float>{0, 2.5, 7.5, 10}));
  EXPECT_EQ(resize_tf(row({0, 10, 20}), 1, 2).values, (std::vector<float>{2.5, 17.5}));
  EXPECT_EQ(resize_tf(row({0, 10, 20, 30, 40, 50, 60, 70}), 1, 2).values,
            (std::vector<float>{15, 55}));
}

TEST(ResizeTf, SameOnColumnsAndIdentityAtTheSameSize) {
  const Pixels column{4, 1, 1, {0, 10, 20, 30}};
  EXPECT_EQ(resize_tf(column, 2, 1).values, (std::vector<float>{5, 25}));
  const Pixels image = to_pixels(gradient(9, 12));
  EXPECT_EQ(resize_tf(image, 9, 12).values, image.values);
  const Image stored = gradient(9, 12);
  EXPECT_EQ(resize_tf(stored, {9, 12, {0, 0, 9, 12}}).values, image.values);
}

TEST(ResizeTf, AWindowIsThatPartOfTheWhole) {
  const Image image = gradient(23, 31);
  for (auto [height, width] : {std::pair{11, 47}, {64, 17}, {23, 90}}) {
    const Pixels whole = resize_tf(image, {height, width, {0, 0, height, width}});
    const Box window{height / 3, width / 4, height / 2, width / 2};
    EXPECT_EQ(resize_tf(image, {height, width, window}).values, crop(whole, window).values);
  }
}

// Against the definition in double precision: the fixed point and the 8-bit step between the passes
// cost less than one level each.
double weight(Interpolation interpolation, double x) {
  x = std::abs(x);
  if (interpolation == Interpolation::kBilinear) return std::max(0.0, 1 - x);
  if (x < 1) return 1.5 * x * x * x - 2.5 * x * x + 1;
  return x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

double exact(const Image& image, int height, int width, int y, int x, int c,
             Interpolation interpolation) {
  const double sy = static_cast<double>(image.height) / height,
               sx = static_cast<double>(image.width) / width;
  double sum = 0, total = 0;
  for (int v = 0; v < image.height; ++v)
    for (int u = 0; u < image.width; ++u) {
      const double w = weight(interpolation, (v + 0.5 - (y + 0.5) * sy) / std::max(sy, 1.0)) *
                       weight(interpolation, (u + 0.5 - (x + 0.5) * sx) / std::max(sx, 1.0));
      total += w;
      sum += w * image.pixels[(static_cast<size_t>(v) * image.width + u) * image.channels + c];
    }
  return sum / total;
}

TEST(ResizePil, FollowsItsDefinition) {
  for (int channels : {1, 3})
    for (auto interpolation : {Interpolation::kBilinear, Interpolation::kBicubic})
      for (auto [height, width] : {std::pair{5, 7}, {33, 12}, {40, 50}, {20, 9}, {6, 26}}) {
        const Image image = gradient(20, 26, channels);
        const Image result = resize_pil(image, height, width, interpolation);
        for (int y = 0; y < height; ++y)
          for (int x = 0; x < width; ++x)
            for (int c = 0; c < channels; ++c)
              EXPECT_NEAR(result.pixels[(static_cast<size_t>(y) * width + x) * channels + c],
                          exact(image, height, width, y, x, c, interpolation), 1.6);
      }
}

// Pillow 13 (found by comparing its results with both orders): the vertical pass comes first when
// rows shrink, by more than twice as many pixels as columns do.
TEST(ResizePil, TheOrderOfThePassesFollowsPillow) {
  struct Case {
    int height, width, new_height, new_width;
    bool vertical_first;
  };
  for (const Case& c :
       {Case{94, 50, 73, 40, true}, Case{93, 50, 73, 40, false}, Case{141, 100, 40, 50, true},
        Case{140, 100, 40, 50, false}, Case{41, 30, 40, 45, true}, Case{39, 30, 40, 45, false}}) {
    Image image{c.height, c.width, 3, {}};
    Rng rng(7, Purpose::kTest);
    for (size_t i = 0; i < image.size(); ++i)
      image.pixels.push_back(static_cast<uint8_t>(rng.below(256)));
    const auto resize = [](const Image& from, int height, int width) {
      return resize_pil(from, height, width, Interpolation::kBicubic);
    };
    const Image rows_first =
        resize(resize(image, c.new_height, c.width), c.new_height, c.new_width);
    const Image columns_first =
        resize(resize(image, c.height, c.new_width), c.new_height, c.new_width);
    ASSERT_NE(rows_first, columns_first);
    EXPECT_EQ(resize(image, c.new_height, c.new_width),
              c.vertical_first ? rows_first : columns_first);
  }
}

TEST(ResizePil, OvershootIsClipped) {
  Image image{1, 8, 1, {0, 0, 0, 0, 255, 255, 255, 255}};
  const Image result = resize_pil(image, 1, 32, Interpolation::kBicubic);
  EXPECT_EQ(result.pixels.front(), 0);
  EXPECT_EQ(result.pixels.back(), 255);
  EXPECT_TRUE(std::is_sorted(result.pixels.begin() + 12, result.pixels.begin() + 20));
}

TEST(ResizePil, AWindowIsThatPartOfTheWhole) {
  const Image image = gradient(37, 29);
  for (auto interpolation : {Interpolation::kBilinear, Interpolation::kBicubic})
    for (auto [height, width] :
         {std::pair{11, 47}, {64, 17}, {37, 90}, {12, 29}, {37, 29}, {30, 10}}) {
      const Image whole = resize_pil(image, height, width, interpolation);
      const Box window{height / 3, width / 4, height / 2, width / 2};
      EXPECT_EQ(resize_pil(image, {height, width, window}, interpolation), crop(whole, window));
    }
}

TEST(Resize, APartOfAHugeWholeIsCheap) {
  const Image thin = gradient(1, 50'000);
  const ResizeTarget target{256, 256 * 50'000LL, {16, 6'400'000 - 112, 224, 224}};
  EXPECT_EQ(resize_pil(thin, target, Interpolation::kBicubic).pixels.size(), 224u * 224 * 3);
  EXPECT_EQ(resize_tf(thin, target).values.size(), 224u * 224 * 3);
}

TEST(Rearranging, CropAndFlip) {
  const Image image{2, 3, 1, {1, 2, 3, 4, 5, 6}};
  EXPECT_EQ(crop(image, {0, 1, 2, 2}).pixels, (std::vector<uint8_t>{2, 3, 5, 6}));
  EXPECT_EQ(flip_horizontal(image).pixels, (std::vector<uint8_t>{3, 2, 1, 6, 5, 4}));
  const Pixels pixels = to_pixels(Image{1, 2, 3, {1, 2, 3, 4, 5, 6}});
  EXPECT_EQ(flip_horizontal(pixels).values, (std::vector<float>{4, 5, 6, 1, 2, 3}));
  EXPECT_EQ(crop(pixels, {0, 1, 1, 1}).values, (std::vector<float>{4, 5, 6}));
  EXPECT_THROW(crop(image, {1, 1, 2, 2}), std::logic_error);
}

}  // namespace
}  // namespace nestvit

// Tables by value, and histograms against counting one by one.
#include "image/augment/lookup.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/random_image.h"

namespace nestvit {
namespace {

using testing::random_image;

const Table kInverse = table_of([](int v) { return static_cast<uint8_t>(255 - v); });
const Table kHalf = table_of([](int v) { return static_cast<uint8_t>(v / 2); });
const Table kZero = table_of([](int) { return uint8_t{0}; });

TEST(LookUp, OneTableForAllChannels) {
  for (const int channels : {1, 3}) {
    const Image image = random_image(5, 7, channels, 1);
    Image got = image;
    look_up(got, kInverse);
    for (size_t i = 0; i < image.pixels.size(); ++i)
      EXPECT_EQ(got.pixels[i], 255 - image.pixels[i]);
  }
}

TEST(LookUp, ATableForEachChannel) {
  const Image image = random_image(5, 7, 3, 2);
  Image got = image;
  look_up(got, std::vector<Table>{kInverse, kHalf, kZero});
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    EXPECT_EQ(got.pixels[i], 255 - image.pixels[i]);
    EXPECT_EQ(got.pixels[i + 1], image.pixels[i + 1] / 2);
    EXPECT_EQ(got.pixels[i + 2], 0);
  }
  Image grey = random_image(5, 7, 1, 3);
  const Image before = grey;
  look_up(grey, std::vector<Table>{kHalf});
  for (size_t i = 0; i < grey.pixels.size(); ++i) EXPECT_EQ(grey.pixels[i], before.pixels[i] / 2);
}

TEST(Histograms, CountEveryPixelOfEachChannel) {
  for (const int channels : {1, 3})
    for (const auto& [height, width] : {std::pair{1, 1}, {1, 2}, {7, 9}, {64, 64}}) {
      const Image image = random_image(height, width, channels, 4);
      const auto counts = histograms(image);
      ASSERT_EQ(counts.size(), static_cast<size_t>(channels));
      for (int c = 0; c < channels; ++c) {
        Histogram expected{};
        for (size_t i = static_cast<size_t>(c); i < image.pixels.size(); i += channels)
          ++expected[image.pixels[i]];
        EXPECT_EQ(counts[c], expected);
      }
    }
}

TEST(ByHistogram, ChannelsAreTakenApart) {
  Image image = random_image(6, 6, 3, 5);
  for (size_t i = 1; i < image.pixels.size(); i += 3) image.pixels[i] = 200;
  const Image before = image;
  // Zero where all pixels are of one value.
  by_histogram(image, [](const Histogram& histogram) {
    const bool flat = std::count(histogram.begin(), histogram.end(), 0) == 255;
    return flat ? kZero : kInverse;
  });
  for (size_t i = 0; i < image.pixels.size(); ++i)
    EXPECT_EQ(image.pixels[i], i % 3 == 1 ? 0 : 255 - before.pixels[i]) << i;
}

}  // namespace
}  // namespace nestvit

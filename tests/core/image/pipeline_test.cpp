// The augmentation chain: order, truncation, and that it depends on nothing but its keys.
#include "image/pipeline.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <thread>

#include "image/resize.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::gradient;

AugmentSettings everything() {
  AugmentSettings settings;
  settings.randaugment = RandAugment{};
  settings.randaugment->size = 32;
  settings.jitter = ColorJitter{};
  settings.erasing = RandomErasing{};
  return settings;
}

TEST(Augmentation, NothingSetChangesNothing) {
  const Augmentation none({}, 1);
  Pixels pixels{1, 2, 1, {0.25f, 254.75f}};
  EXPECT_EQ(none.pixels(pixels, 0, 0).values, pixels.values);
  std::vector<float> chw = {1, 2};
  none.finish(chw, 1, 2, 0, 0);
  EXPECT_EQ(chw, (std::vector<float>{1, 2}));
  EXPECT_TRUE(none.describe().empty());
}

TEST(Augmentation, PixelsAreTruncatedToBytesFirst) {
  AugmentSettings settings;
  settings.erasing = RandomErasing{};  // leaves pixels alone
  const Pixels pixels{1, 4, 1, {-3.5f, 0.99f, 254.99f, 300.0f}};
  EXPECT_EQ(Augmentation(settings, 1).pixels(pixels, 0, 0).values,
            (std::vector<float>{0, 0, 254, 255}));
}

TEST(Augmentation, IsRandAugmentThenJitterWithStreamsOfTheirOwn) {
  const AugmentSettings settings = everything();
  const Augmentation augmentation(settings, 7);
  const Image image = gradient(32, 32);
  for (uint64_t index = 0; index < 20; ++index) {
    Rng first(7, Purpose::kRandAugment, 3, index), second(7, Purpose::kJitter, 3, index);
    const Image expected =
        color_jitter(rand_augment(image, *settings.randaugment, first), *settings.jitter, second);
    EXPECT_EQ(augmentation.pixels(to_pixels(image), 3, index).values, to_pixels(expected).values);
  }
}

TEST(Augmentation, DependsOnItsKeysOnlyAndNotOnTheThread) {
  const Augmentation augmentation(everything(), 7);
  constexpr int kSamples = 64;
  const auto run = [&](int threads) {
    std::vector<std::vector<float>> results(kSamples);
    std::vector<std::thread> pool;
    for (int t = 0; t < threads; ++t)
      pool.emplace_back([&, t] {
        for (int i = t; i < kSamples; i += threads) {
          const auto index = static_cast<uint64_t>(i);
          results[i] = augmentation.pixels(to_pixels(gradient(32, 32)), 1, index).values;
          augmentation.finish(results[i], 32, 32, 1, index);
        }
      });
    for (auto& thread : pool) thread.join();
    return results;
  };
  const auto one = run(1);
  EXPECT_EQ(one, run(3));
  EXPECT_EQ(one, run(7));
  // Other keys, other pictures.
  const auto at = [&](uint64_t seed, uint64_t epoch, uint64_t index) {
    return Augmentation(everything(), seed)
        .pixels(to_pixels(gradient(32, 32)), epoch, index)
        .values;
  };
  int same = 0;
  for (uint64_t i = 0; i < 20; ++i)
    same += (at(7, 1, i) == at(8, 1, i)) + (at(7, 1, i) == at(7, 2, i)) +
            (at(7, 1, i) == at(7, 1, i + 100));
  EXPECT_LT(same, 6);
}

TEST(Augmentation, RefusesSettingsThatMakeNoSense) {
  AugmentSettings settings = everything();
  settings.randaugment->magnitude = 9;  // without magstd
  EXPECT_THROW(Augmentation(settings, 1), UsageError);
  settings = everything();
  settings.jitter->strength = 2;
  EXPECT_THROW(Augmentation(settings, 1), UsageError);
  settings = everything();
  settings.erasing->erase_prob = 2;
  EXPECT_THROW(Augmentation(settings, 1), UsageError);
}

TEST(Augmentation, DescribesEachStepInOrder) {
  const auto lines = Augmentation(everything(), 1).describe();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].starts_with("RandAugment"));
  EXPECT_TRUE(lines[1].starts_with("colour jitter"));
  EXPECT_TRUE(lines[2].starts_with("random erasing"));
}

}  // namespace
}  // namespace nestvit

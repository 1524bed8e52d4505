// Random erasing against the official code, replayed from its draws, and the shape of its boxes.
#include "image/augment/erase.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>

#include "core/image/augment/augment_goldens.h"

namespace nestvit {
namespace {

using testing::AugmentGoldens;

constexpr double kTolerance = 1e-6;  // goldens README: batch_and_erase

// `chw` [C, H, W] inside `box`.
std::vector<float> part_of(const std::vector<float>& chw, int height, int width, const Box& box) {
  const size_t plane = static_cast<size_t>(height) * width;
  std::vector<float> part;
  for (size_t c = 0; c < chw.size() / plane; ++c)
    for (int y = box.y; y < box.y + box.height; ++y)
      for (int x = box.x; x < box.x + box.width; ++x)
        part.push_back(chw[c * plane + static_cast<size_t>(y) * width + x]);
  return part;
}

TEST(EraseGolden, RunsReplay) {
  const AugmentGoldens goldens("batch_and_erase");
  size_t compared = 0;
  for (const auto& [name, d] : goldens.meta.items()) {
    if (!name.starts_with("erase/")) continue;
    SCOPED_TRACE(name);
    const Tensor& in = goldens.at(name + "/in");
    const int height = static_cast<int>(in.dim(0)), width = static_cast<int>(in.dim(1));
    const auto channels = static_cast<size_t>(in.dim(2));
    auto image = testing::planar(in.as<float>(), 1, channels);
    const auto noise = testing::planar(goldens.at(name + "/noise").as<float>(), 1, channels);
    const auto expected = testing::planar(goldens.at(name + "/out").as<float>(), 1, channels);
    const EraseDraws draws{d.at("apply_u"), d.at("area"), d.at("log_aspect"), d.at("centre_y_u"),
                           d.at("centre_x_u")};
    const Box box = erase_box(draws, height, width);
    const size_t plane = static_cast<size_t>(height) * width;
    for (size_t i = 0; i < plane; ++i) {  // the mask itself, exactly
      const int y = static_cast<int>(i) / width, x = static_cast<int>(i) % width;
      const bool inside =
          y >= box.y && y < box.y + box.height && x >= box.x && x < box.x + box.width;
      EXPECT_EQ(inside, expected[i] != image[i]) << y << " " << x;
    }
    fill_box(image, height, width, box, part_of(noise, height, width, box));
    EXPECT_LE(testing::largest_difference(image, expected), kTolerance);
    ++compared;
  }
  EXPECT_GT(compared, 0u);
}

TEST(Erase, HappensAsOftenAsAsked) {
  constexpr int kSamples = 4000;
  for (double probability : {0.0, 0.25, 1.0}) {
    int erased = 0;
    for (uint64_t i = 0; i < kSamples; ++i) {
      Rng rng(1, Purpose::kErase, 0, i);
      std::vector<float> chw(3 * 20 * 30, 100.0f);
      const std::vector<Box> boxes = random_erase(chw, 20, 30, {probability}, rng);
      const Box box = boxes.empty() ? Box{} : boxes.front();
      const auto changed = std::count_if(chw.begin(), chw.end(), [](float v) { return v != 100; });
      ASSERT_EQ(changed, 3 * box.height * box.width);
      erased += changed > 0;
    }
    // Boxes over the edge may miss every pixel's centre, hence the slack below.
    const double deviation = std::sqrt(kSamples * probability * (1 - probability));
    EXPECT_LE(erased, kSamples * probability + 5 * deviation);
    EXPECT_GE(erased, kSamples * probability * 0.98 - 5 * deviation);
  }
}

// reference.md E.3: 17.7 % nominal, 13.5 % after the edges cut.
TEST(Erase, MeanAreaIsTheReferences) {
  constexpr int kSamples = 20'000, kSide = 224;
  double sum = 0;
  for (uint64_t i = 0; i < kSamples; ++i) {
    Rng rng(2, Purpose::kErase, 0, i);
    const Box box = erase_box(draw_erase(rng), kSide, kSide);
    EXPECT_TRUE(box.y >= 0 && box.x >= 0 && box.y + box.height <= kSide &&
                box.x + box.width <= kSide);
    sum += static_cast<double>(box.height) * box.width / (kSide * kSide);
  }
  EXPECT_NEAR(sum / kSamples, 0.135, 0.003);  // the reference's figure has three digits
}

TEST(Erase, TimmsBoxesLieInside) {
  double sum = 0;
  constexpr int kSamples = 5000;
  for (uint64_t i = 0; i < kSamples; ++i) {
    Rng rng(3, Purpose::kErase, 0, i);
    std::vector<float> chw(3 * 64 * 48, 100.0f);
    const Box box = random_erase(chw, 64, 48, {1, EraseStyle::kTimm}, rng).front();
    EXPECT_TRUE(box.height < 64 && box.width < 48 && box.y >= 0 && box.x >= 0 &&
                box.y + box.height <= 64 && box.x + box.width <= 48);
    sum += static_cast<double>(box.height) * box.width / (64 * 48);
  }
  // Nominal 17.7 %; large boxes of extreme aspect do not fit and are drawn again, smaller.
  EXPECT_GT(sum / kSamples, 0.12);
  EXPECT_LT(sum / kSamples, 0.177);
}

TEST(Erase, TimmsModesFillBoxesThatShareTheArea) {
  double sum = 0;
  size_t most = 0;
  for (const EraseMode mode : {EraseMode::kRand, EraseMode::kConst})
    for (uint64_t i = 0; i < 500; ++i) {
      Rng rng(6, Purpose::kErase, 0, i);
      std::vector<float> chw(3 * 32 * 32, 100.0f);
      const auto boxes = random_erase(chw, 32, 32, {1, EraseStyle::kTimm, mode, 3}, rng);
      ASSERT_FALSE(boxes.empty());
      most = std::max(most, boxes.size());
      double area = 0;
      for (const Box& box : boxes) area += box.height * box.width / 1024.0;
      // A third at most; sides are rounded, by half a pixel of at most 31.
      EXPECT_LT(area, 1.0 / 3 + 3 * 31.5 / 1024);
      sum += area;
      const Box& last = boxes.back();
      if (last.height == 0) continue;
      for (int c = 0; c < 3; ++c) {
        const float first = chw[c * 1024 + last.y * 32 + last.x];
        EXPECT_EQ(chw[c * 1024 + (last.y + last.height - 1) * 32 + last.x + last.width - 1], first);
        EXPECT_EQ(first == 0, mode == EraseMode::kConst);
      }
    }
  EXPECT_EQ(most, 3U);
  EXPECT_GT(sum, 0);
  EXPECT_THROW(check(RandomErasing{.erase_prob = 1, .count = 2}), UsageError) << "official style";
  EXPECT_THROW(check(RandomErasing{.erase_prob = 1, .mode = EraseMode::kConst}), UsageError);
}

TEST(Erase, NoiseIsStandardNormal) {
  std::vector<float> values;
  for (uint64_t i = 0; values.size() < 200'000; ++i) {
    Rng rng(4, Purpose::kErase, 0, i);
    std::vector<float> chw(3 * 64 * 64, 100.0f);
    random_erase(chw, 64, 64, {1}, rng);
    std::copy_if(chw.begin(), chw.end(), std::back_inserter(values),
                 [](float v) { return v != 100; });
  }
  double sum = 0, squares = 0, fourth = 0;
  for (double v : values) sum += v, squares += v * v, fourth += v * v * v * v;
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96 / n));
}

TEST(Erase, IsAPureFunctionOfTheGeneratorForAnySize) {
  for (auto [height, width] : {std::pair{1, 1}, {1, 9}, {9, 1}, {7, 5}})
    for (int channels : {1, 3})
      for (uint64_t i = 0; i < 50; ++i) {
        std::vector<float> a(static_cast<size_t>(channels) * height * width, 2.0f), b = a;
        Rng first(5, Purpose::kErase, 1, i), second(5, Purpose::kErase, 1, i);
        random_erase(a, height, width, {1}, first);
        random_erase(b, height, width, {1}, second);
        EXPECT_EQ(a, b);
        for (float v : a) EXPECT_TRUE(std::isfinite(v));
      }
}

TEST(Erase, NoProbabilityIsAUsageError) {
  check(RandomErasing{});
  for (double p : {-0.1, 1.1, static_cast<double>(NAN)})
    EXPECT_THROW(check(RandomErasing{p}), UsageError);
}

}  // namespace
}  // namespace nestvit

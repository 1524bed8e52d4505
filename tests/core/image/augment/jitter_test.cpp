// The colour jitter against the official code: single operations, and whole runs replayed from
// their draws.
#include "image/augment/jitter.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <set>

#include "core/image/augment/augment_goldens.h"
#include "image/resize.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::AugmentGoldens;
using testing::gradient;

constexpr double kTolerance = 1e-6;  // goldens README: color_jitter

void apply_named(const std::string& name, float factor, std::span<float> planes) {
  if (name == "brightness") return jitter_brightness(planes, factor);
  if (name == "contrast") return jitter_contrast(planes, 3, factor);
  if (name == "saturation") return jitter_saturation(planes, factor);
  if (name == "hue") return jitter_hue(planes, factor);
  if (name == "grey") return jitter_grey(planes);
  FAIL() << "no operation " << name;
}

TEST(JitterGolden, SingleOperations) {
  const AugmentGoldens goldens("color_jitter");
  std::set<std::string> compared;
  for (const auto& [key, tensor] : goldens.tensors) {
    const auto parts = testing::split_key(key);
    if (parts[0] == "run" || parts[1] == "unit") continue;
    SCOPED_TRACE(key);
    auto planes = testing::planar(goldens.at(parts[0] + "/unit").as<float>(), 1, 3);
    apply_named(parts[1], parts.size() > 2 ? std::stof(parts[2]) : 0, planes);
    EXPECT_LE(testing::largest_difference(planes, testing::planar(tensor.as<float>(), 1, 3)),
              kTolerance);
    compared.insert(parts[1]);
  }
  EXPECT_EQ(compared.size(), 5u);
}

// The recorded list: flip, an outer gate that always passes, the jitter gate, the four operations
// if any, the grey gate.
JitterDraws draws_of(const nlohmann::json& list) {
  JitterDraws draws;
  int gates = 0;
  for (const auto& draw : list) {
    const std::string kind = draw.at(0);
    const auto& value = draw.back();
    if (kind == "flip") draws.flip = value;
    if (kind == "order") draws.order = value.get<std::array<int, 4>>();
    if (kind == "contrast") draws.contrast = value;
    if (kind == "saturation") draws.saturation = value;
    if (kind == "hue") draws.hue = value;
    if (kind != "uniform") continue;
    if (draw.at(1) != 0.0 || draw.at(2) != 1.0) {
      draws.brightness = value;
    } else {
      if (gates == 1) draws.jitter = value;
      if (gates == 2) draws.grey = value;
      ++gates;
    }
  }
  EXPECT_EQ(gates, 3);
  return draws;
}

TEST(JitterGolden, RunsReplay) {
  const AugmentGoldens goldens("color_jitter"), inputs("randaugment_ops");
  const ColorJitter settings{goldens.meta.at("strength")};
  ASSERT_FALSE(goldens.meta.at("runs").empty());
  for (const auto& [name, run] : goldens.meta.at("runs").items()) {
    SCOPED_TRACE(name);
    const Image input = inputs.image("input/" + std::to_string(run.at("input").get<int>()));
    const Image result = color_jitter(input, settings, draws_of(run.at("draws")));
    const Image expected = goldens.image(name + "/out");
    ASSERT_EQ(result.pixels.size(), expected.pixels.size());
    int most = 0;
    for (size_t i = 0; i < result.pixels.size(); ++i)
      most = std::max(most, std::abs(result.pixels[i] - expected.pixels[i]));
    EXPECT_LE(most, 1);
    // "Single pixels": truncation turns a difference of 1e-7 into a level, rarely.
    EXPECT_LE(testing::differing(result, expected), 1 + result.pixels.size() / 1000);
  }
}

TEST(Jitter, DrawsStayInTheirRanges) {
  const ColorJitter settings{0.3};
  std::set<std::array<int, 4>> orders;
  int flips = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    Rng rng(1, Purpose::kTest, 0, i);
    const JitterDraws draws = draw(settings, rng);
    for (float f : {draws.brightness, draws.contrast, draws.saturation})
      EXPECT_TRUE(f >= 0.76f && f <= 1.24f);
    EXPECT_LE(std::abs(draws.hue), 0.06f);
    orders.insert(draws.order);
    flips += draws.flip < 0.5f;
  }
  EXPECT_EQ(orders.size(), 24u);
  EXPECT_NEAR(flips, 1000, 5 * std::sqrt(500));
}

TEST(Jitter, FactorsOfOneAndNoTurnChangeNoColour) {
  auto planes =
      testing::planar(std::vector<float>{0.1f, 0.5f, 0.9f, 0.3f, 0.3f, 0.3f, 0, 0, 0, 1, 0.25f,
                                         0.75f, 0.6f, 0.2f, 0.6f, 0.2f, 0.7f, 0.7f},
                      1, 3);
  const auto before = planes;
  jitter_brightness(planes, 1);
  jitter_contrast(planes, 3, 1);
  jitter_saturation(planes, 1);
  jitter_hue(planes, 0);
  EXPECT_LE(testing::largest_difference(planes, before), 1e-6);
}

TEST(Jitter, HueTurnsPrimariesAndSaturationZeroIsTheBrightestChannel) {
  std::vector<float> red = {1, 0, 0};  // one pixel in three planes
  jitter_hue(red, 1.0f / 3);
  EXPECT_LE(testing::largest_difference(red, std::vector<float>{0, 1, 0}), 1e-6);
  jitter_hue(red, -2.0f / 3);
  EXPECT_LE(testing::largest_difference(red, std::vector<float>{0, 0, 1}), 1e-6);
  std::vector<float> pale = {0.2f, 0.6f, 0.4f};
  jitter_saturation(pale, 0);
  EXPECT_LE(testing::largest_difference(pale, std::vector<float>{0.6f, 0.6f, 0.6f}), 1e-6);
}

// Green and blue a hair apart: the hue rounds to a whole turn.
TEST(Jitter, AHueThatRoundsToAWholeTurnStaysRed) {
  std::vector<float> red = {1, 0.5f, std::nextafter(0.5f, 1.0f)};
  const auto before = red;
  jitter_saturation(red, 1);
  EXPECT_LE(testing::largest_difference(red, before), 1e-6);
  jitter_hue(red, 0);
  EXPECT_LE(testing::largest_difference(red, before), 1e-6);
}

TEST(Jitter, AnySizeAndOneChannelKeepTheShape) {
  for (auto [height, width] : {std::pair{1, 1}, {1, 9}, {9, 1}, {7, 5}})
    for (int channels : {1, 3})
      for (uint64_t i = 0; i < 30; ++i) {
        Image image = gradient(height, width);
        image.channels = channels;
        image.pixels.resize(image.size());
        Rng a(2, Purpose::kJitter, 0, i), b(2, Purpose::kJitter, 0, i);
        const Image result = color_jitter(image, {1.25}, a);
        EXPECT_EQ(result.height, height);
        EXPECT_EQ(result.width, width);
        EXPECT_EQ(result.pixels.size(), image.size());
        EXPECT_EQ(result, color_jitter(image, {1.25}, b));
      }
}

TEST(Jitter, WithoutStrengthOnlyTheFlipAndTheGreyRemain) {
  const Image image = gradient(6, 8);
  JitterDraws draws;
  draws.flip = 0;
  const Image flipped = color_jitter(image, {0}, draws);
  for (size_t i = 0; i < image.pixels.size(); ++i)  // the way to floats and back truncates
    EXPECT_NEAR(flipped.pixels[i], flip_horizontal(image).pixels[i], 1);
  draws.grey = 0;
  const Image grey = color_jitter(image, {0}, draws);
  for (size_t i = 0; i < grey.pixels.size(); i += 3) {
    EXPECT_EQ(grey.pixels[i], grey.pixels[i + 1]);
    EXPECT_EQ(grey.pixels[i], grey.pixels[i + 2]);
  }
}

TEST(Jitter, StrengthsOutOfRangeAreUsageErrors) {
  check(ColorJitter{0});
  check(ColorJitter{1.25});
  for (double strength : {-0.1, 1.3, static_cast<double>(NAN)})
    EXPECT_THROW(check(ColorJitter{strength}), UsageError);
}

}  // namespace
}  // namespace nestvit

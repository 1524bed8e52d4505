// Whole runs of the official RandAugment replayed from its draws, and how draws are made.
#include "image/augment/randaugment.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <map>

#include "core/image/augment/augment_goldens.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::AugmentGoldens;
using testing::gradient;

TEST(RandAugmentGolden, RunsReplay) {
  const AugmentGoldens goldens("randaugment_runs"), inputs("randaugment_ops");
  const auto& meta = goldens.meta;
  ASSERT_FALSE(meta.at("runs").empty());
  for (const auto& run : meta.at("runs")) {
    const std::string number = std::to_string(run.at("run").get<int>());
    SCOPED_TRACE(number);
    const Image input = inputs.image("input/" + std::to_string(run.at("input").get<int>()));
    RandAugment settings;
    settings.magnitude = meta.at("magnitude").get<double>();
    settings.magstd = meta.at("magstd");
    settings.num_levels = meta.at("num_levels");
    settings.prob_to_apply = meta.at("prob_to_apply").get<double>();
    settings.cutout = false;
    settings.size = input.height;
    settings.num_layers = static_cast<int>(run.at("layers").size());
    check(settings);
    RandAugmentDraws draws;
    for (const auto& layer : run.at("layers")) {
      const TfOp op = parse_tf_op(layer.at("op"));
      EXPECT_EQ(layer.contains("sign_u"), takes_sign(op));
      draws.layers.push_back(
          {layer.at("level_raw"), op, layer.value("sign_u", 1.0f), layer.at("apply_u")});
    }
    EXPECT_EQ(
        testing::differing(rand_augment(input, settings, draws), goldens.image(number + "/out")),
        0u);
  }
}

RandAugment shipped() {
  RandAugment settings;
  settings.magnitude = 9;
  settings.magstd = 0.5;
  settings.prob_to_apply = 0.5;
  settings.cutout = false;
  settings.size = 32;
  return settings;
}

TEST(RandAugment, IsAPureFunctionOfTheGenerator) {
  const Image image = gradient(32, 32);
  size_t distinct = 0;
  for (uint64_t i = 0; i < 50; ++i) {
    Rng a(1, Purpose::kRandAugment, 2, i), b(1, Purpose::kRandAugment, 2, i);
    const Image result = rand_augment(image, shipped(), a);
    EXPECT_EQ(result, rand_augment(image, shipped(), b));
    distinct += result != image;
  }
  EXPECT_GT(distinct, 20u);  // each of two layers applies half of the time
}

TEST(RandAugment, DrawsHaveTheirDistributions) {
  constexpr int kSamples = 40'000;
  const RandAugment settings = shipped();
  std::map<TfOp, int> ops;
  double sum = 0, squares = 0, negative = 0, applied = 0;
  for (int i = 0; i < kSamples; ++i) {
    Rng rng(3, Purpose::kTest, 0, static_cast<uint64_t>(i));
    const RandAugmentDraws draws = draw(settings, 32, 32, rng);
    ASSERT_EQ(draws.layers.size(), 2u);
    const auto& layer = draws.layers[1];
    ++ops[layer.op];
    sum += layer.level;
    squares += static_cast<double>(layer.level) * layer.level;
    negative += layer.sign < 0.5f;
    applied += layer.apply < 0.5f;
    EXPECT_TRUE(draws.cutout_y >= 0 && draws.cutout_y < 32 && draws.cutout_x >= 0 &&
                draws.cutout_x < 32);
  }
  const double mean = sum / kSamples, deviation = std::sqrt(squares / kSamples - mean * mean);
  // Five standard errors each.
  EXPECT_NEAR(mean, 9, 5 * 0.5 / std::sqrt(kSamples));
  EXPECT_NEAR(deviation, 0.5, 5 * 0.5 / std::sqrt(2.0 * kSamples));
  EXPECT_NEAR(negative / kSamples, 0.5, 5 * 0.5 / std::sqrt(kSamples));
  EXPECT_NEAR(applied / kSamples, 0.5, 5 * 0.5 / std::sqrt(kSamples));
  ASSERT_EQ(ops.size(), tf_ops().size());
  const double p = 1.0 / static_cast<double>(ops.size());
  for (const auto& [op, count] : ops)
    EXPECT_NEAR(count, kSamples * p, 5 * std::sqrt(kSamples * p * (1 - p))) << tf_op_name(op);
}

TEST(RandAugment, LevelsOfEachKindStayInRange) {
  RandAugment constant, discrete, continuous;
  constant.magnitude = 0.4;
  continuous.num_levels = 0;
  for (const RandAugment& settings : {constant, discrete, continuous}) {
    check(settings);
    for (uint64_t i = 0; i < 200; ++i) {
      Rng rng(4, Purpose::kTest, 0, i);
      // A level outside of [0, 1] would throw.
      EXPECT_EQ(rand_augment(gradient(9, 9), settings, rng).height, 9);
    }
  }
}

TEST(RandAugment, ALevelDrawBeyondTheLevelsIsClipped) {
  const RandAugment settings = shipped();
  const Image image = gradient(12, 12);
  RandAugmentDraws low, high;
  low.layers = {{-3, TfOp::kColor, 1, 0}};
  high.layers = {{12, TfOp::kColor, 1, 0}};
  EXPECT_EQ(rand_augment(image, settings, low), apply_tf_op(image, TfOp::kColor, 0, false, {}));
  EXPECT_EQ(rand_augment(image, settings, high), apply_tf_op(image, TfOp::kColor, 1, false, {}));
}

TEST(RandAugment, TranslationsBelongToTheInstance) {
  RandAugment small = shipped(), large = shipped();
  large.size = 224;
  RandAugmentDraws draws;
  draws.layers = {{10, TfOp::kTranslateX, 1, 0}};
  const Image image = gradient(150, 150);
  const Image before = rand_augment(image, small, draws);
  EXPECT_NE(rand_augment(image, large, draws), before);
  EXPECT_EQ(rand_augment(image, small, draws), before);
}

TEST(RandAugment, ProbabilityZeroAndOne) {
  RandAugment never = shipped(), always = shipped();
  never.prob_to_apply = 0;
  always.prob_to_apply.reset();
  RandAugmentDraws draws;
  draws.layers = {{9, TfOp::kInvert, 1, 0.999f}};
  const Image image = gradient(5, 5);
  EXPECT_EQ(rand_augment(image, never, draws), image);
  EXPECT_EQ(rand_augment(image, always, draws), apply_tf_op(image, TfOp::kInvert, 0, false, {}));
}

TEST(RandAugment, SettingsThatMakeNoSenseAreUsageErrors) {
  check(shipped());
  check(RandAugment{});
  for (auto change : std::vector<void (*)(RandAugment&)>{
           [](RandAugment& s) { s.magstd = 0; },  // magnitude 9 would be level 9
           [](RandAugment& s) { s.magnitude = 11; }, [](RandAugment& s) { s.magnitude = -1; },
           [](RandAugment& s) { s.magnitude.reset(); }, [](RandAugment& s) { s.num_levels = 0; },
           [](RandAugment& s) { s.num_levels = -1; }, [](RandAugment& s) { s.num_layers = -1; },
           [](RandAugment& s) { s.num_layers = 1'000'000; }, [](RandAugment& s) { s.size = 0; },
           [](RandAugment& s) { s.prob_to_apply = 1.5; },
           [](RandAugment& s) { s.prob_to_apply = NAN; }, [](RandAugment& s) { s.magstd = NAN; }}) {
    RandAugment settings = shipped();
    change(settings);
    EXPECT_THROW(check(settings), UsageError) << describe(settings);
  }
}

TEST(RandAugment, DescribesItselfWithItsNumbers) {
  const std::string text = describe(shipped());
  for (const char* part : {"2 of 16", "N(9, 0.5) of 10", "probability 0.5", "10 px"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

}  // namespace
}  // namespace nestvit

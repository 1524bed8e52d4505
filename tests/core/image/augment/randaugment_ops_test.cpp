// RandAugment's operations against the official code in TensorFlow, and what must hold for images
// of any size.
#include "image/augment/randaugment_ops.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <nlohmann/json.hpp>

#include "core/image/augment/augment_goldens.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::AugmentGoldens;
using testing::gradient;
using testing::image_of;

// "<input>/<op>[/<level>[/neg]]"
struct OpKey {
  std::string input;
  TfOp op{};
  float level = 0;
  bool negative = false;
};

OpKey parse_key(const std::string& key) {
  const auto parts = testing::split_key(key);
  OpKey result{parts.at(0), parse_tf_op(parts.at(1))};
  if (parts.size() > 2) result.level = std::stof(parts[2]);
  result.negative = parts.size() > 3 && parts[3] == "neg";
  return result;
}

TEST(AugmentGolden, EveryOperationAndItsArgument) {
  const AugmentGoldens goldens("randaugment_ops");
  const auto& constants = goldens.meta.at("translate_const");
  size_t compared = 0, arguments = 0;
  for (const auto& [key, tensor] : goldens.tensors) {
    if (key.starts_with("input/")) continue;
    SCOPED_TRACE(key);
    const OpKey k = parse_key(key);
    const Image input = goldens.image("input/" + k.input);
    const TfOpSettings settings = tf_op_settings(input.height);
    if (constants.contains(std::to_string(input.height))) {
      EXPECT_EQ(settings.translate_const, constants.at(std::to_string(input.height)).get<int>());
    }
    if (goldens.meta.at("argument").contains(key)) {
      EXPECT_EQ(tf_argument(k.op, k.level, k.negative, settings),
                goldens.meta.at("argument").at(key).get<float>());
      ++arguments;
    }
    EXPECT_EQ(testing::differing(apply_tf_op(input, k.op, k.level, k.negative, settings),
                                 image_of(tensor)),
              0u);
    ++compared;
  }
  EXPECT_GT(compared, 0u);
  EXPECT_EQ(arguments, goldens.meta.at("argument").size());
}

TEST(AugmentGolden, Cutout) {
  const AugmentGoldens goldens("batch_and_erase"), inputs("randaugment_ops");
  size_t compared = 0;
  for (const auto& [name, draws] : goldens.meta.items()) {
    if (!name.starts_with("cutout/")) continue;
    SCOPED_TRACE(name);
    const Image input = inputs.image("input/" + std::to_string(draws.at("input").get<int>()));
    const Image result = cutout(input, draws.at("y_uniform_0_h"), draws.at("x_uniform_0_w"));
    EXPECT_EQ(testing::differing(result, goldens.image(name + "/out")), 0u);
    ++compared;
  }
  EXPECT_GT(compared, 0u);
}

TEST(Augment, NamesAndOperationsCorrespond) {
  ASSERT_EQ(tf_ops().size(), tf_op_names().size());
  for (TfOp op : tf_ops()) EXPECT_EQ(parse_tf_op(tf_op_name(op)), op);
  EXPECT_EQ(parse_tf_op("autocontrast"), TfOp::kAutoContrast);
  try {
    parse_tf_op("Rotat");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(error.hint().find("Rotate"), std::string::npos);
  }
  EXPECT_THROW(parse_tf_op(""), UsageError);
}

TEST(Augment, LevelsOutsideOfZeroToOneAreUsageErrors) {
  for (float level : {-0.1f, 1.1f, 9.0f, NAN})
    for (TfOp op : tf_ops())
      EXPECT_THROW(apply_tf_op(gradient(4, 4), op, level, false, {}), UsageError);
}

TEST(Augment, AnySizeAndOneChannelKeepTheShape) {
  for (auto [height, width] : {std::pair{1, 1}, {1, 9}, {9, 1}, {2, 2}, {2, 7}, {3, 3}, {31, 17}})
    for (int channels : {1, 3})
      for (TfOp op : tf_ops())
        for (float level : {0.0f, 0.5f, 1.0f})
          for (bool negative : {false, true}) {
            Image image = gradient(height, width);
            image.channels = channels;
            image.pixels.resize(image.size());
            const Image result = apply_tf_op(image, op, level, negative, tf_op_settings(height));
            EXPECT_EQ(result.height, height);
            EXPECT_EQ(result.width, width);
            EXPECT_EQ(result.channels, channels);
            EXPECT_EQ(result.pixels.size(), image.size());
          }
}

TEST(Augment, LevelZeroChangesNothingWhereTheArgumentSaysSo) {
  const Image image = gradient(13, 9);
  for (TfOp op : {TfOp::kRotate, TfOp::kShearX, TfOp::kShearY, TfOp::kTranslateX, TfOp::kTranslateY,
                  TfOp::kSolarizeAdd, TfOp::kIdentity})
    EXPECT_EQ(apply_tf_op(image, op, 0, false, tf_op_settings(13)), image) << tf_op_name(op);
  // A blend factor of 1 gives back every value: v - m and m + (v - m) are exact.
  for (TfOp op : {TfOp::kColor, TfOp::kContrast, TfOp::kBrightness, TfOp::kSharpness})
    EXPECT_EQ(apply_tf_argument(image, op, 1), image) << tf_op_name(op);
}

TEST(Augment, InvertTwiceIsNothingAndSolarizeAtZeroInverts) {
  const Image image = gradient(8, 5);
  const Image inverted = apply_tf_op(image, TfOp::kInvert, 0, false, {});
  EXPECT_EQ(apply_tf_op(inverted, TfOp::kInvert, 0, false, {}), image);
  EXPECT_EQ(apply_tf_op(image, TfOp::kSolarize, 0, false, {}), inverted);
}

TEST(Augment, PosterizeToNoBitsKeepsTheHighest) {
  const Image image = gradient(8, 5);
  const Image result = apply_tf_op(image, TfOp::kPosterize, 0, false, {});
  for (size_t i = 0; i < image.pixels.size(); ++i)
    EXPECT_EQ(result.pixels[i], image.pixels[i] & 128);
}

TEST(Augment, TranslationMovesAndFillsWithGrey) {
  const Image image = gradient(6, 10);
  const Image moved = apply_tf_argument(image, TfOp::kTranslateX, 3);
  for (int y = 0; y < 6; ++y)
    for (int x = 0; x < 10; ++x)
      for (int c = 0; c < 3; ++c)
        EXPECT_EQ(moved.pixels[(y * 10 + x) * 3 + c],
                  x + 3 < 10 ? image.pixels[(y * 10 + x + 3) * 3 + c] : 128);
  // Further than the image is wide: nothing is left, however far.
  for (float far : {10.0f, 1e6f, -1e30f, INFINITY}) {
    const Image gone = apply_tf_argument(image, TfOp::kTranslateX, far);
    EXPECT_EQ(gone.pixels, std::vector<uint8_t>(gone.size(), 128)) << far;
  }
}

TEST(Augment, AFlatImageStaysFlat) {
  const Image flat{7, 7, 3, std::vector<uint8_t>(7 * 7 * 3, 93)};
  for (TfOp op : {TfOp::kAutoContrast, TfOp::kEqualize, TfOp::kContrast})
    EXPECT_EQ(apply_tf_op(flat, op, 1, false, {}), flat) << tf_op_name(op);
}

TEST(Cutout, CoversAtMostAQuarterAndIsClipped) {
  const Image image = gradient(16, 24);
  for (float cy : {0.0f, 7.9f, 16.0f})
    for (float cx : {0.0f, 11.0f, 24.0f}) {
      const Image result = cutout(image, cy, cx);
      EXPECT_LE(testing::differing(result, image), image.size() / 4);
    }
  EXPECT_EQ(cutout(gradient(3, 3), 1, 1), gradient(3, 3));  // half sizes of 0
}

}  // namespace
}  // namespace nestvit

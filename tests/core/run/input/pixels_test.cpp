// CIFAR at another size: reference.md D.6.
#include "run/input/pixels.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "image/codecs/codec.h"
#include "support/recipes.h"

namespace nestvit {
namespace {

Sample cifar_image() {
  Sample sample;
  sample.image = {32, 32, 3, std::vector<uint8_t>(32 * 32 * 3)};
  Rng rng(5, Purpose::kTest, 0, 0);
  for (uint8_t& p : sample.image.pixels) p = static_cast<uint8_t>(rng.below(256));
  sample.name = "cifar";
  return sample;
}

Recipe cifar_recipe(const Settings::Values& more = {}) {
  Settings::Values values = {{"model_name", "nest_tiny_s196_224"}, {"input_size", "64"}};
  values.insert(values.end(), more.begin(), more.end());
  values.emplace_back("nest.patch_size", "4");
  Recipe r = apply(Recipe(), {config("cifar_nest.yaml"), values});
  resolve(r, facts("cifar10", 50000, 10, 32));
  return r;
}

TEST(CifarAtAnotherSize, EvaluationEnlargesToWholeLevelsFirst) {
  const Recipe r = cifar_recipe();
  Sample large;
  large.image = enlarge_small(cifar_image().image, 64);
  EXPECT_EQ(large.image.height, 73);  // int(64 * 256/224)
  EXPECT_EQ(evaluation_input(cifar_image(), r, "cifar10").values,
            evaluation_pixels(large, r.preprocessing).values);
  EXPECT_EQ(evaluation_input(cifar_image(), r, "idx").values,
            evaluation_pixels(cifar_image(), r.preprocessing).values);
}

TEST(CifarAtAnotherSize, TrainingPassesThroughJpegUnlessToldOtherwise) {
  Sample large;
  large.image = enlarge_small(cifar_image().image, 64);
  Sample jpeg = large;
  jpeg.encoded = encode_jpeg(large.image);
  const auto trained = [&](const Recipe& r) {
    Rng rng(1, Purpose::kTransform, 0, 0);
    return training_input(cifar_image(), r, "tfds cifar10/3.0.2", rng).values;
  };
  const auto expected = [&](const Sample& sample) {
    Rng rng(1, Purpose::kTransform, 0, 0);
    return training_pixels(sample, cifar_recipe().preprocessing, TrainTransform::kCrop, rng).values;
  };
  EXPECT_EQ(trained(cifar_recipe()), expected(jpeg));
  EXPECT_EQ(trained(cifar_recipe({{"data.jpeg_round_trip", "false"}})), expected(large));
  EXPECT_NE(expected(jpeg), expected(large));
}

}  // namespace
}  // namespace nestvit

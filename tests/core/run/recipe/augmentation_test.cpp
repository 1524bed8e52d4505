// From recipe keys to the settings of the image pipeline.
#include "run/recipe/augmentation.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "run/recipe/resolve.h"
#include "support/recipes.h"

namespace nestvit {
namespace {

TEST(RecipeAugmentation, AugmentationFollowsTheKeys) {
  const Recipe imagenet = apply(Recipe(), {config("imagenet_nest.yaml"), {}});
  const AugmentSettings settings = augment_settings(imagenet);
  ASSERT_TRUE(settings.randaugment && settings.jitter && settings.erasing);
  EXPECT_EQ(settings.randaugment->size, 224);
  EXPECT_FALSE(settings.randaugment->cutout);
  EXPECT_EQ(settings.randaugment->magnitude, 9);
  EXPECT_EQ(settings.randaugment->magstd, 0.5);
  EXPECT_EQ(settings.erasing->erase_prob, 0.25);
  const auto mix = mix_settings(imagenet);
  ASSERT_TRUE(mix);
  EXPECT_EQ(mix->mixup_alpha, 0.8);
  EXPECT_EQ(mix->cutmix_alpha, 1);  // though no config says so
  EXPECT_EQ(mix->smoothing, 0.1);
  const Recipe cifar = apply(Recipe(), {config("cifar_nest.yaml"), {}});
  EXPECT_TRUE(augment_settings(cifar).randaugment);
  EXPECT_FALSE(augment_settings(cifar).jitter);
  EXPECT_FALSE(
      mix_settings(apply(imagenet, {"", {{"mix.mixup_alpha", "0"}, {"mix.cutmix_alpha", "0"}}})));
  EXPECT_FALSE(augment_settings(apply(imagenet, {"", {{"augment.type", "noop"}}})).randaugment);
  EXPECT_THROW(augment_settings(apply(imagenet, {"", {{"augment.type", "autoaugment"}}})),
               UsageError);
  // level 9 of 1: the official code would turn images by 270 degrees
  Recipe wild = apply(imagenet, {"", {{"augment.randaugment_magstd", "null"}}});
  EXPECT_THROW(resolve(wild, facts("image folder", 60000, 1000, 224)), UsageError);
}

TEST(RecipeAugmentation, MixStylesHaveTheirOwnDefaults) {
  const Recipe official = apply(Recipe(), {"", {{"mix.mixup_alpha", "0.8"}}});
  EXPECT_EQ(mix_settings(official)->cutmix_alpha, 1);
  EXPECT_EQ(mix_settings(apply(official, {"", {{"mix.style", "timm"}}}))->cutmix_alpha, 0);
}

}  // namespace
}  // namespace nestvit

// The recipes of --recipe.
#include "run/recipe/named_recipes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "run/recipe/augmentation.h"
#include "run/recipe/default_recipe.h"
#include "run/recipe/resolve.h"
#include "support/recipes.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;

TEST(NamedRecipes, SettingsAreInForceWhereNothingElseIsSaid) {
  const DataFacts f = facts("image folder", 700, 3, 300);
  Recipe timm =
      apply(apply(default_recipe(f, 0), named_recipe("timm")), {"", {{"model_ema_decay", "0.9"}}});
  resolve(timm, f);
  const AugmentSettings settings = augment_settings(timm);
  ASSERT_TRUE(settings.timm_randaugment && settings.erasing);
  EXPECT_FALSE(settings.randaugment || settings.jitter);
  EXPECT_EQ(settings.timm_randaugment->magnitude, 9);
  EXPECT_TRUE(settings.timm_randaugment->increasing);
  // the mean in bytes: .485, .456, .406
  EXPECT_EQ(settings.timm_randaugment->fill, (std::vector<uint8_t>{124, 116, 104}));
  EXPECT_EQ(settings.erasing->style, EraseStyle::kTimm);
  EXPECT_EQ(mix_settings(timm)->style, MixStyle::kTimm);
  EXPECT_EQ(timm.train_transform, TransformChoice::kRrc);
  EXPECT_TRUE(timm.weight_decay_exclude_1d && timm.model_ema);
  EXPECT_EQ(timm.model_ema_decay, 0.9);

  // The paper's is what the official files have in common.
  const Settings named = named_recipe("paper");
  Recipe paper = apply(Recipe(), named);
  Recipe official = apply(Recipe(), {config("cifar_nest.yaml"), {}});
  const Fields a = fields(paper), b = fields(official);
  for (const auto& [key, text] : named.values) EXPECT_EQ(a.get(key), b.get(key)) << key;
  try {
    named_recipe("papers");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.hint(), HasSubstr("timm"));
  }
}

}  // namespace
}  // namespace nestvit

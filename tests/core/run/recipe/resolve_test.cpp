// What the data fills in, what is refused, and what a resumed run must keep.
#include "run/recipe/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <filesystem>

#include "base/file.h"
#include "run/recipe/default_recipe.h"
#include "support/recipes.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

TEST(Resolve, ResolvedRecipeReadsBackAsItself) {
  for (const DataFacts& f : {facts("cifar10", 50000, 10, 32), facts("image folder", 700, 3, 300)}) {
    Recipe recipe = f.kind == "cifar10" ? apply(Recipe(), {config("cifar_nest.yaml"), {}})
                                        : default_recipe(f, 0);
    resolve(recipe, f);
    const testing::TempDir folder;
    const fs::path path = folder / "config.yaml";
    write_file(path, yaml(recipe));
    Recipe again = apply(Recipe(), {path, {}});
    EXPECT_EQ(yaml(again), yaml(recipe));
    EXPECT_EQ(digest(again), digest(recipe));
    resolve(again, f);
    EXPECT_EQ(yaml(again), yaml(recipe));
    EXPECT_EQ(again.nest, recipe.nest);
    EXPECT_EQ(again.preprocessing, recipe.preprocessing);
  }
}

TEST(Resolve, EveryShippedConfigResolves) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(NESTVIT_SOURCE_DIR) / "configs")) {
    SCOPED_TRACE(entry.path().string());
    Recipe recipe = apply(Recipe(), {entry.path(), {}});
    DataFacts f = facts("image folder", 50000, 10, 300);
    if (recipe.dataset == "cifar10" || recipe.dataset == "fashion-mnist") f.kind = recipe.dataset;
    EXPECT_NO_THROW(resolve(recipe, f));
    ++count;
  }
  EXPECT_GE(count, 4);
}

// reference.md D.7: augmentation keys decide whether images are normalised.
TEST(Resolve, NormalisationFollowsTheAugmentationKeys) {
  Recipe cifar = apply(Recipe(), {config("cifar_nest.yaml"), {}});
  Recipe hundred = cifar;
  resolve(cifar, facts("cifar10", 50000, 10, 32));
  EXPECT_THAT(cifar.preprocessing.mean, ElementsAre(.4914, .4822, .4465));
  EXPECT_THAT(cifar.preprocessing.std, ElementsAre(.2471, .2435, .2616));
  EXPECT_EQ(cifar.preprocessing.crop_pct, 1) << "CIFAR at its own size is not cropped";
  EXPECT_EQ(cifar.train_transform, TransformChoice::kPad);
  resolve(hundred, facts("cifar100", 50000, 100, 32));
  EXPECT_THAT(hundred.preprocessing.mean, ElementsAre(.5071, .4867, .4408));

  Recipe plain = apply(Recipe(), {"", {{"dataset", "cifar10"}}});
  resolve(plain, facts("cifar10", 50000, 10, 32));
  EXPECT_THAT(plain.preprocessing.mean, ElementsAre(0, 0, 0));
  EXPECT_THAT(plain.preprocessing.std, ElementsAre(1, 1, 1));

  Recipe imagenet = apply(Recipe(), {config("imagenet_nest.yaml"), {}});
  resolve(imagenet, facts("image folder", 50000, 10, 300));
  EXPECT_THAT(imagenet.preprocessing.mean, ElementsAre(.485, .456, .406));
  EXPECT_EQ(imagenet.preprocessing.crop_pct, 0.875);
}

TEST(Resolve, OneMeanServesEveryChannel) {
  Recipe recipe =
      apply(Recipe(), {"", {{"preprocessing.mean", "[0.3]"}, {"preprocessing.std", "[0.4]"}}});
  resolve(recipe, facts("idx", 60000, 10, 28));
  EXPECT_THAT(recipe.preprocessing.mean, ElementsAre(.3, .3, .3));
  Recipe grey = apply(recipe, {"", {{"in_channels", "1"}, {"preprocessing.mean", "[0.3, 0.3]"}}});
  EXPECT_THROW(resolve(grey, facts("idx", 60000, 10, 28)), UsageError);
}

TEST(Resolve, RefusesIllegalNumbers) {
  const DataFacts f = facts("cifar10", 50000, 10, 32);
  for (const auto& [key, text] :
       std::vector<std::pair<std::string, std::string>>{{"per_device_batch_size", "0"},
                                                        {"num_epochs", "0"},
                                                        {"warmup_epochs", "-1"},
                                                        {"learning_rate", "-0.1"},
                                                        {"mix.smoothing", "1"},
                                                        {"num_classes", "3"},
                                                        {"in_channels", "2"},
                                                        {"num_train_steps", "0"},
                                                        {"checkpoint_hist", "0"},
                                                        {"log_loss_every_steps", "0"},
                                                        {"eval_only", "true"},
                                                        {"reinit_head", "zero_all"},
                                                        {"resize_posembed", "1.5"},
                                                        {"freeze", "[backbone]"},
                                                        {"layer_decay", "0"},
                                                        {"layer_decay", "1.1"},
                                                        {"grad_accum_steps", "0"},
                                                        {"grad_accum_steps", "2147483647"},
                                                        {"model_ema_decay", "1"},
                                                        {"opt_betas", "[0.9]"},
                                                        {"opt_betas", "[0.9, 1]"},
                                                        {"patience", "-1"},
                                                        {"augment.type", "rand-m9-x1"},
                                                        {"preprocessing.crop_pct", "2"},
                                                        {"preprocessing.std", "[1,1,0]"},
                                                        {"nest.patch_size", "5"}}) {
    Recipe recipe = apply(
        Recipe(),
        {"", {{"preprocessing.mean", "[0,0,0]"}, {"preprocessing.std", "[1,1,1]"}, {key, text}}});
    EXPECT_THROW(resolve(recipe, f), UsageError) << key << "=" << text;
  }
}

TEST(Resolve, DigestFollowsLockedKeysOnly) {
  const Recipe recipe;
  EXPECT_NE(digest(apply(recipe, {"", {{"nest.mlp_ratio", "3"}}})), digest(recipe));
  for (const auto& [key, text] :
       std::vector<std::pair<std::string, std::string>>{{"seed", "1"},
                                                        {"grad_accum_steps", "2"},
                                                        {"amp", "bf16"},
                                                        {"model_ema", "true"},
                                                        {"model_ema_decay", "0.5"},
                                                        {"model_ema_warmup", "true"},
                                                        {"data.sampler", "balanced"}})
    EXPECT_NE(digest(apply(recipe, {"", {{key, text}}})), digest(recipe)) << key;
  EXPECT_EQ(digest(apply(recipe, {"", {{"num_epochs", "7"}, {"data.dir", "elsewhere"}}})),
            digest(recipe));
}

}  // namespace
}  // namespace nestvit

// The recipe: keys, and files and settings over bases.
#include "run/recipe/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cstdlib>
#include <filesystem>

#include "run/recipe/default_recipe.h"
#include "run/recipe/resolve.h"
#include "support/recipes.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The table of official values: reference.md F.8.
TEST(Recipe, OfficialConfigsCarryTheirValues) {
  const Recipe cifar = apply(Recipe(), {config("cifar_nest.yaml"), {}});
  EXPECT_EQ(cifar.model_name, "nest_tiny_s16_32");
  EXPECT_EQ(cifar.nest, variant("nest_tiny_s16_32"));
  EXPECT_EQ(cifar.per_device_batch_size, 192);
  EXPECT_EQ(cifar.learning_rate, 2.5e-4);
  EXPECT_EQ(value(cifar, "optim"), "adamw");
  EXPECT_THAT(cifar.optim_wd_ignore, ElementsAre("pos_embedding"));
  EXPECT_EQ(cifar.warmup_epochs, 5);
  EXPECT_EQ(cifar.weight_decay, 0.05);
  EXPECT_EQ(cifar.num_epochs, 300);
  EXPECT_EQ(cifar.eval_per_epochs, 5);
  EXPECT_EQ(cifar.shuffle_buffer_size, 10000);
  EXPECT_EQ(cifar.randerasing.erase_prob, 0.25);
  EXPECT_EQ(cifar.mix.smoothing, 0.1);
  EXPECT_EQ(cifar.augment.randaugment_magstd, 0.5);

  const Recipe base = apply(Recipe(), {config("imagenet_nest.yaml"), {}});
  EXPECT_EQ(base.nest, variant("nest_base_s196_224"));
  EXPECT_EQ(base.per_device_batch_size, 16);
  EXPECT_EQ(base.warmup_epochs, 20);
  EXPECT_EQ(base.colorjitter.strength, 0.3);
  const Recipe tiny = apply(Recipe(), {config("imagenet_nest_tiny.yaml"), {}});
  EXPECT_EQ(tiny.nest, variant("nest_tiny_s196_224"));
  EXPECT_EQ(tiny.per_device_batch_size, 64);

  const Recipe cnn = apply(Recipe(), {config("cifar_cnn.yaml"), {}});
  EXPECT_EQ(cnn.model_name, "resnet18_cifar");
  EXPECT_EQ(cnn.per_device_batch_size, 128);
  EXPECT_EQ(cnn.learning_rate, 0.2);
  EXPECT_EQ(value(cnn, "optim"), "sgd");
  EXPECT_EQ(cnn.weight_decay, 5e-4);
  EXPECT_EQ(cnn.num_epochs, 200);
  EXPECT_EQ(cnn.num_eval_steps, 100);
  EXPECT_EQ(cnn.eval_every_steps, 200);
  EXPECT_FALSE(has_augmentation_keys(cnn));
  const Recipe deep = apply(Recipe(), {config("resnet50_imagenet.yaml"), {}});
  EXPECT_EQ(deep.model_name, "resnet50");
  EXPECT_EQ(deep.learning_rate, 0.1);
  EXPECT_EQ(value(deep, "optim"), "sgd");
  EXPECT_EQ(deep.weight_decay, 1e-4);
  EXPECT_EQ(deep.num_epochs, 90);
  EXPECT_EQ(deep.eval_every_steps, 5000);
}

TEST(Recipe, PathsBecomeAbsoluteAddressesStay) {
  Recipe recipe;
  recipe.data.dir = "photos/../pets";
  recipe.data.labels = "/else/where.txt";
  recipe.data.class_map = "~/classes.txt";
  recipe.init_checkpoint = "hf://timm/nest_tiny_jx.goog_in1k";
  make_paths_absolute(recipe);
  EXPECT_EQ(recipe.data.dir, (std::filesystem::current_path() / "pets").string());
  EXPECT_EQ(recipe.data.labels, "/else/where.txt");
  const char* home = std::getenv("HOME");
  EXPECT_TRUE(!home || recipe.data.class_map == std::string(home) + "/classes.txt")
      << recipe.data.class_map;
  EXPECT_EQ(recipe.init_checkpoint, "hf://timm/nest_tiny_jx.goog_in1k");
  Recipe none;
  make_paths_absolute(none);
  EXPECT_EQ(none.data.dir, "");
  none.data.dir = "caf\xe9";
  EXPECT_THROW(make_paths_absolute(none), UsageError);
}

TEST(Recipe, UnknownKeyNamesTheNearest) {
  try {
    apply(Recipe(), {"", {{"num_epoch", "3"}}});
    FAIL() << "accepted";
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("num_epoch"));
    EXPECT_THAT(e.hint(), HasSubstr("num_epochs"));
  }
}

TEST(Recipe, ModelNameGoesBeforeNestKeysInAnyOrder) {
  Recipe base = default_recipe(facts("image folder", 700, 3, 300), 0);
  const Recipe recipe =
      apply(base, {"", {{"nest.embedding_dim", "48"}, {"model_name", "nest_small_s196_224"}}});
  NestConfig expected = variant("nest_small_s196_224");
  expected.embedding_dim = 48;
  EXPECT_EQ(recipe.nest, expected);
  EXPECT_EQ(recipe.input_size, 0) << "the model's own";
}

TEST(Recipe, TheDefaultRecipesVariantMayBeNamedToo) {
  const Recipe base = default_recipe(facts("image folder", 700, 3, 300), 0);
  const Recipe recipe = apply(base, {"", {{"model_name", base.model_name}}});
  EXPECT_EQ(recipe.nest, variant(base.model_name));
  EXPECT_EQ(recipe.input_size, 0) << "the model's own";
  EXPECT_NE(apply(base, {"", {{"num_epochs", "3"}}}).nest, recipe.nest) << "of 700 images";
  Recipe finetuned = base;
  finetuned.init_checkpoint = "some/where";
  EXPECT_EQ(apply(finetuned, {"", {{"model_name", base.model_name}}}).nest, base.nest)
      << "the weights'";
}

TEST(Recipe, ListsAndNestedKeysFromTheCommandLine) {
  const Recipe recipe =
      apply(Recipe(), {"", {{"nest.num_layers_per_block", "[1,1,2]"}, {"mix.smoothing", "0.2"}}});
  EXPECT_THAT(recipe.nest.num_layers_per_block, ElementsAre(1, 1, 2));
  EXPECT_EQ(recipe.mix.smoothing, 0.2);
}

TEST(Recipe, ShorterRunsShortenAWarmUpThatNobodyAskedFor) {
  const Recipe base = default_recipe(facts("image folder", 700, 3, 300), 0);
  EXPECT_EQ(apply(base, {"", {{"num_epochs", "1"}}}).warmup_epochs, 0.2);
  EXPECT_EQ(apply(base, {"", {{"num_epochs", "1"}, {"warmup_epochs", "0.5"}}}).warmup_epochs, 0.5);
  EXPECT_EQ(apply(base, {"", {{"num_epochs", "500"}}}).warmup_epochs, base.warmup_epochs);
  const Recipe cifar = apply(Recipe(), {config("cifar_nest.yaml"), {{"num_epochs", "3"}}});
  EXPECT_EQ(cifar.warmup_epochs, 5) << "the file asks for it";
  EXPECT_EQ(apply(cifar, {"", {{"seed", "1"}}}).warmup_epochs, 5) << "the same epochs";
}

TEST(Recipe, EveryKeySaysWhatItIs) {
  Recipe recipe;
  const Fields keys = fields(recipe);
  for (const Field& field : keys.list()) {
    ASSERT_FALSE(field.help.empty()) << field.key;
    // It follows "KEY: " on the page of keys, and a flag's help ends it with a full stop.
    EXPECT_NE(field.help.back(), '.') << field.key;
  }
}

}  // namespace
}  // namespace nestvit

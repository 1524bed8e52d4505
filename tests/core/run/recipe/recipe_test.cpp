// The recipe: keys, files over bases, what the data fills in, and the step arithmetic of the
// reference.
#include "run/recipe/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "run/input/augmentation.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

fs::path config(const std::string& name) { return fs::path(NESTVIT_SOURCE_DIR) / "configs" / name; }

DataFacts facts(const std::string& kind, int64_t train, int classes, int side) {
  DataFacts f;
  f.kind = kind;
  f.train_size = train;
  f.val_size = train / 5;
  f.num_classes = classes;
  f.short_side = side;
  return f;
}

std::string yaml(Recipe recipe) { return fields(recipe).to_yaml(); }
std::string value(Recipe recipe, const std::string& key) { return fields(recipe).get(key); }

TEST(Recipe, ResolvedRecipeReadsBackAsItself) {
  for (const DataFacts& f : {facts("cifar10", 50000, 10, 32), facts("image folder", 700, 3, 300)}) {
    Recipe recipe = f.kind == "cifar10" ? apply(Recipe(), {config("cifar_nest.yaml"), {}})
                                        : default_recipe(f, 0);
    resolve(recipe, f);
    const fs::path path = fs::path(::testing::TempDir()) / "recipe_test_config.yaml";
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

TEST(Recipe, EveryShippedConfigResolves) {
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

TEST(Recipe, ListsAndNestedKeysFromTheCommandLine) {
  const Recipe recipe =
      apply(Recipe(), {"", {{"nest.num_layers_per_block", "[1,1,2]"}, {"mix.smoothing", "0.2"}}});
  EXPECT_THAT(recipe.nest.num_layers_per_block, ElementsAre(1, 1, 2));
  EXPECT_EQ(recipe.mix.smoothing, 0.2);
}

// reference.md D.7: augmentation keys decide whether images are normalised.
TEST(Recipe, NormalisationFollowsTheAugmentationKeys) {
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

TEST(Recipe, OneMeanServesEveryChannel) {
  Recipe recipe =
      apply(Recipe(), {"", {{"preprocessing.mean", "[0.3]"}, {"preprocessing.std", "[0.4]"}}});
  resolve(recipe, facts("idx", 60000, 10, 28));
  EXPECT_THAT(recipe.preprocessing.mean, ElementsAre(.3, .3, .3));
  Recipe grey = apply(recipe, {"", {{"in_channels", "1"}, {"preprocessing.mean", "[0.3, 0.3]"}}});
  EXPECT_THROW(resolve(grey, facts("idx", 60000, 10, 28)), UsageError);
}

TEST(Recipe, AugmentationFollowsTheKeys) {
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

// reference.md F.3.
TEST(Recipe, StepsAsInTheReference) {
  const Recipe cifar = apply(Recipe(), {config("cifar_nest.yaml"), {}});
  EXPECT_EQ(step_plan(cifar, 50000).total, 78125);
  EXPECT_EQ(step_plan(cifar, 50000).per_epoch, 260);
  EXPECT_EQ(step_plan(cifar, 50000).per_evaluation, 5 * 260);
  const Recipe imagenet =
      apply(Recipe(), {config("imagenet_nest.yaml"), {{"per_device_batch_size", "1024"}}});
  EXPECT_EQ(step_plan(imagenet, 1281167).total, 375341);
  EXPECT_EQ(step_plan(imagenet, 1281167).per_epoch, 1251);
}

TEST(Recipe, EvaluationCadence) {
  const auto every = [](std::vector<std::pair<std::string, std::string>> values) {
    values.insert(values.end(), {{"per_device_batch_size", "10"}, {"num_epochs", "4"}});
    return step_plan(apply(Recipe(), {"", values}), 100).per_evaluation;
  };
  EXPECT_EQ(every({}), 10);
  EXPECT_EQ(every({{"eval_every_steps", "3"}}), 3);
  EXPECT_EQ(every({{"eval_per_epochs", "0.5"}}), 5);
  EXPECT_EQ(every({{"eval_per_epochs", "2"}, {"eval_every_steps", "3"}}), 20)
      << "eval_per_epochs wins";
  EXPECT_EQ(every({{"eval_per_epochs", "1e300"}}), 40);
}

TEST(Recipe, TooFewImagesForABatch) {
  const Recipe recipe =
      apply(Recipe(), {"", {{"per_device_batch_size", "192"}, {"num_epochs", "2"}}});
  EXPECT_THROW(step_plan(recipe, 100), UsageError);
  const Recipe steps = apply(Recipe(), {"", {{"num_train_steps", "5"}, {"num_epochs", "10"}}});
  EXPECT_THROW(step_plan(steps, 50000), UsageError);
}

TEST(Recipe, RefusesIllegalNumbers) {
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

TEST(Recipe, DefaultsFitEveryAmountAndSizeOfImages) {
  for (const int64_t images : {5, 40, 999, 1000, 7000, 30000, 80000, 1281167})
    for (const int side : {8, 28, 32, 48, 64, 100, 200, 224, 4000}) {
      SCOPED_TRACE(::testing::Message() << images << " images of side " << side);
      const DataFacts f = facts("image folder", images, 3, side);
      Recipe recipe = default_recipe(f, 0);
      ASSERT_NO_THROW(resolve(recipe, f));
      EXPECT_NO_THROW(step_plan(recipe, images));
      EXPECT_LT(recipe.warmup_epochs, recipe.num_epochs);
      EXPECT_TRUE(recipe.preprocessing.exif_orientation);
      EXPECT_EQ(recipe.preprocessing.background, (std::array<uint8_t, 3>{255, 255, 255}));
    }
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

TEST(Recipe, PresetsAreInForceWhereNothingElseIsSaid) {
  const DataFacts f = facts("image folder", 700, 3, 300);
  Recipe timm =
      apply(apply(default_recipe(f, 0), {"", preset("timm")}), {"", {{"model_ema_decay", "0.9"}}});
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
  Recipe paper = apply(Recipe(), {"", preset("paper")});
  Recipe official = apply(Recipe(), {config("cifar_nest.yaml"), {}});
  const Fields a = fields(paper), b = fields(official);
  for (const auto& [key, text] : preset("paper")) EXPECT_EQ(a.get(key), b.get(key)) << key;
  try {
    preset("papers");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.hint(), HasSubstr("timm"));
  }
}

TEST(Recipe, MixStylesHaveTheirOwnDefaults) {
  const Recipe official = apply(Recipe(), {"", {{"mix.mixup_alpha", "0.8"}}});
  EXPECT_EQ(mix_settings(official)->cutmix_alpha, 1);
  EXPECT_EQ(mix_settings(apply(official, {"", {{"mix.style", "timm"}}}))->cutmix_alpha, 0);
}

TEST(Recipe, DefaultsFitTheSizeThatIsAskedFor) {
  const DataFacts f = facts("image folder", 3000, 3, 500);
  for (const int size : {16, 28, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 384}) {
    Recipe recipe = default_recipe(f, size);
    EXPECT_NO_THROW(resolve(recipe, f)) << size;
    EXPECT_EQ(recipe.input_size, size);
  }
  Recipe odd = default_recipe(f, 61);
  EXPECT_THROW(resolve(odd, f), UsageError) << "a side that nothing divides";
}

TEST(Recipe, DigestFollowsLockedKeysOnly) {
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

TEST(Recipe, EveryKeyIsDocumented) {
  const std::string docs = read_text(fs::path(NESTVIT_SOURCE_DIR) / "docs" / "training.md");
  Recipe recipe;
  for (const std::string& key : fields(recipe).keys())
    EXPECT_THAT(docs, HasSubstr("`" + key + "`")) << "add the key to the table in docs/training.md";
}

}  // namespace
}  // namespace nestvit

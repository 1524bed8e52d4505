// What a recipe takes from weights, what wins over them, and what is refused.
#include "run/recipe/finetune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <filesystem>
#include <functional>

#include "base/file.h"
#include "data/classes.h"
#include "run/start_print.h"
#include "support/recipes.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Values = std::vector<std::pair<std::string, std::string>>;

DataFacts photos(int classes = 10, const std::string& kind = "image folder") {
  return facts(kind, 3000, classes, 300);
}

LoadedModel weights_of(const std::string& name, const std::string& preprocessing = "jax") {
  LoadedModel model;
  model.config = variant(name);
  model.preprocessing = preprocessing_mode(preprocessing, model.config.image_size);
  model.origin = "some/weights";
  return model;
}

// As nestvit train makes it, with `file` or without.
Recipe make(const LoadedModel& weights, Values values, const fs::path& file = "",
            const DataFacts& f = photos()) {
  values.emplace_back("init_checkpoint", "some/weights");
  const Settings settings{file, values};
  const Recipe asked = apply(Recipe(), settings);
  Recipe recipe = apply(
      file.empty() ? finetune_recipe(f, weights, asked) : with_weights(Recipe(), weights, asked),
      settings);
  check_architecture(recipe, weights);
  resolve(recipe, f);
  check_weights(recipe, weights);
  return recipe;
}

void expect_refused(const std::function<void()>& f, const std::string& word,
                    const std::string& hint) {
  try {
    f();
    ADD_FAILURE() << "accepted: " << word;
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr(word));
    EXPECT_THAT(e.hint(), HasSubstr(hint));
  }
}

TEST(FineTune, ModelAndPreprocessingAreTheWeights) {
  const LoadedModel weights = weights_of("nest_small_jx", "timm");
  const Recipe r = make(weights, {});
  NestConfig expected = weights.config;
  expected.num_classes = 10;
  EXPECT_EQ(r.nest, expected);
  EXPECT_EQ(r.input_size, 224);
  EXPECT_EQ(r.preprocessing.resampler, Resampler::kPil);
  EXPECT_EQ(r.preprocessing.dct, Dct::kAccurate);
  EXPECT_TRUE(r.preprocessing.exif_orientation) << "photos of the user's own cameras";
  EXPECT_LE(r.num_epochs, 40);
  EXPECT_LT(r.learning_rate, 2e-3) << "below that of a fresh model";
  EXPECT_GT(make(weights, {{"freeze", "[backbone]"}}).learning_rate, r.learning_rate);
}

TEST(FineTune, SettingsWinOverTheWeights) {
  const Recipe r =
      make(weights_of("nest_tiny_jx", "timm"), {{"nest.gelu", "tanh"},
                                                {"nest.stochastic_depth_drop", "0.05"},
                                                {"preprocessing.resampler", "tf"},
                                                {"preprocessing.interpolation", "bilinear"},
                                                {"num_epochs", "3"}});
  EXPECT_EQ(r.nest.gelu, Gelu::kTanh);
  EXPECT_EQ(r.nest.stochastic_depth_drop, 0.05);
  EXPECT_EQ(r.preprocessing.resampler, Resampler::kTf);
  EXPECT_EQ(r.num_epochs, 3);
  const WeightsReport report =
      report_weights(r, weights_of("nest_tiny_jx", "timm"), numbered_classes(10));
  EXPECT_THAT(report.warnings, ElementsAre(HasSubstr("nest.gelu is tanh")));
}

TEST(FineTune, AnotherImageSizeKeepsTheBlocks) {
  const LoadedModel weights = weights_of("nest_tiny_s196_224");
  for (const auto& [size, edge] : {std::pair{384, 24}, {224, 14}, {256, 16}, {96, 6}}) {
    const Recipe r = make(weights, {{"input_size", std::to_string(size)}});
    EXPECT_EQ(r.nest.patch_size, edge);
    EXPECT_EQ(geometry(r.nest).front().blocks, 16);
  }
  expect_refused([&] { make(weights, {{"input_size", "230"}}); }, "multiple of 16", "224 or 240");
  EXPECT_EQ(make(weights, {{"input_size", "384"}, {"nest.patch_size", "24"}}).nest.patch_size, 24)
      << "as the official code wants it said";
}

// reference.md F.6: the official code takes the ratio at its word and dies of 1.7143.
TEST(FineTune, ResizePosembedIsCheckedNotObeyed) {
  const LoadedModel weights = weights_of("nest_tiny_s196_224");
  for (const char* ratio : {"1", "1.7142857142857142", "1.7143", "1.714"})
    EXPECT_EQ(make(weights, {{"input_size", "384"}, {"resize_posembed", ratio}}).nest.patch_size,
              24)
        << ratio;
  expect_refused(
      [&] {
        make(weights, {{"input_size", "384"}, {"resize_posembed", "1.5"}});
      },
      "the ratio is 1.71429", "leave resize_posembed out");
  expect_refused(
      [&] {
        make(weights, {{"resize_posembed", "1.5"}});
      },
      "the ratio is 1", "input_size");
}

TEST(FineTune, ModelNameOfTheSameArchitectureKeepsWhatWeightsWereTrainedWith) {
  Recipe r = make(weights_of("nest_base_jx", "timm"), {}, config("imagenet_nest.yaml"));
  EXPECT_EQ(r.model_name, "nest_base_s196_224");
  EXPECT_EQ(r.nest.gelu, Gelu::kErf);
  EXPECT_EQ(r.preprocessing.resampler, Resampler::kPil);
  r = make(weights_of("nest_base", "timm"), {{"nest.gelu", "tanh"}}, config("imagenet_nest.yaml"));
  EXPECT_EQ(r.nest.gelu, Gelu::kTanh);
  EXPECT_EQ(r.nest.pool_padding, PoolPadding::kSymmetric);
  r = make(weights_of("nest_base_jx"), {{"input_size", "384"}}, config("imagenet_nest.yaml"));
  EXPECT_EQ(r.nest.patch_size, 24);
}

TEST(FineTune, AnotherArchitectureIsRefused) {
  const LoadedModel weights = weights_of("nest_tiny_s196_224");
  expect_refused([&] { make(weights, {}, config("imagenet_nest.yaml")); },
                 "nest.num_layers_per_block: [2, 2, 20] here, [2, 2, 8] there",
                 "set model_name to nest_tiny_s196_224");
  expect_refused(
      [&] {
        make(weights, {{"model_name", "nest_base_s196_224"}});
      },
      "the channels per level: [128, 256, 512] here, [96, 192, 384] there", "nest.*");
  expect_refused(
      [&] {
        make(weights, {{"nest.num_heads", "6"}});
      },
      "the heads per level", "nest.*");
  EXPECT_NO_THROW(make(weights, {{"nest.scale_hidden_dims", "null"},
                                 {"nest.embed_dims", "[96, 192, 384]"},
                                 {"nest.level_heads", "[3, 6, 12]"}}))
      << "the same, said otherwise";
}

// Official weights say nothing of their preprocessing: a recipe with augmentation keys does, by
// its data set (reference.md D.7).
TEST(FineTune, OfficialWeightsAreNormalisedByTheRecipesDataSet) {
  const Values cifar = {{"model_name", "nest_tiny_s196_224"}, {"input_size", "224"}};
  const Recipe r = make(weights_of("nest_tiny_s196_224"), cifar, config("cifar_nest.yaml"),
                        photos(10, "cifar10"));
  EXPECT_THAT(r.preprocessing.mean, ElementsAre(.4914, .4822, .4465));
  EXPECT_EQ(r.preprocessing.crop_pct, 0.875);
  EXPECT_EQ(r.train_transform, TransformChoice::kCrop);
  const Recipe tfds = make(weights_of("nest_tiny_s196_224"), cifar, config("cifar_nest.yaml"),
                           photos(100, "tfds cifar100/3.0.2"));
  EXPECT_THAT(tfds.preprocessing.mean, ElementsAre(.5071, .4867, .4408));
  const Recipe timm = make(weights_of("nest_tiny_jx", "timm"), cifar, config("cifar_nest.yaml"),
                           photos(10, "cifar10"));
  EXPECT_THAT(timm.preprocessing.mean, ElementsAre(.485, .456, .406)) << "these weights do say";
  const Recipe plain = make(weights_of("nest_tiny_s196_224"), {});
  EXPECT_THAT(plain.preprocessing.mean, ElementsAre(.485, .456, .406)) << "never [0, 1]";
}

TEST(FineTune, GreyInputAveragesTheStatistics) {
  const Recipe r = make(weights_of("nest_tiny_s196_224"), {{"in_channels", "1"}});
  ASSERT_EQ(r.preprocessing.mean.size(), 1U);
  EXPECT_DOUBLE_EQ(r.preprocessing.mean[0], (.485 + .456 + .406) / 3);
  EXPECT_THAT(report_weights(r, weights_of("nest_tiny_s196_224"), numbered_classes(10)).changes,
              Contains(HasSubstr("grey")));
}

TEST(FineTune, ReportSaysWhatBecomesOfTheHead) {
  const LoadedModel weights = weights_of("nest_tiny_s196_224");
  const auto changes = [&](const Values& values, int classes) {
    return report_weights(make(weights, values, "", photos(classes)), weights,
                          numbered_classes(classes));
  };
  EXPECT_THAT(changes({}, 10).changes, Contains(HasSubstr("a new head for 10 classes, zeros")));
  EXPECT_THAT(changes({}, 1000).changes, Contains(HasSubstr("the head stays")));
  EXPECT_THAT(changes({{"reinit_head", "random"}}, 1000).changes, Contains(HasSubstr("random")));
  EXPECT_THAT(changes({}, 10).warnings, IsEmpty());
  EXPECT_THROW(make(weights, {{"reinit_head", "ones"}}), UsageError);
}

// The head's rows of the classes of a run, and what is said of them.
HeadPlan plan(const std::vector<std::string>& labels, const std::vector<std::string>& classes,
              Values values = {}) {
  LoadedModel weights = weights_of("nest_tiny_jx");
  weights.labels = labels;
  weights.config.num_classes = static_cast<int>(labels.size());
  const Recipe r = make(weights, std::move(values), "", photos(static_cast<int>(classes.size())));
  return plan_head(r, weights, classes);
}

TEST(FineTune, HeadsOfTheSameNamesStay) {
  const HeadPlan same = plan({"cat", "dog", "emu"}, {"cat", "dog", "emu"});
  EXPECT_THAT(same.rows, IsEmpty());
  EXPECT_EQ(same.change, "the head stays: 3 classes");
  const HeadPlan moved = plan({"class2", "class3", "class10"}, {"class10", "class2", "class3"});
  EXPECT_THAT(moved.rows, ElementsAre(2, 0, 1));
  EXPECT_THAT(moved.change, HasSubstr("rows moved: the same 3 classes in another order"));
  EXPECT_EQ(moved.warning, "");
  // Folders called by numbers, as torchvision orders them.
  EXPECT_THAT(plan({"0", "1", "2"}, {"0", "2", "1"}).rows, ElementsAre(0, 2, 1));
}

TEST(FineTune, OtherNamesHaveANewHead) {
  const HeadPlan other = plan({"cat", "dog", "emu"}, {"apple", "banana", "cherry"});
  EXPECT_THAT(other.rows, ElementsAre(-1, -1, -1));
  EXPECT_EQ(other.change, "a new head for 3 classes, zeros (the weights have 3 others)");
  EXPECT_THAT(plan({"cat", "dog", "emu"}, {"apple", "banana"}).change,
              HasSubstr("a new head for 2 classes, zeros"));
}

TEST(FineTune, KnownNamesKeepTheirRows) {
  const HeadPlan part = plan({"cat", "dog", "emu"}, {"ape", "dog", "emu", "fox"});
  EXPECT_THAT(part.rows, ElementsAre(-1, 1, 2, -1));
  EXPECT_THAT(part.change, HasSubstr("know 2 by name"));
  EXPECT_THAT(part.change, HasSubstr("ape, fox"));
  const HeadPlan fewer = plan({"cat", "dog", "emu"}, {"cat", "emu"});
  EXPECT_THAT(fewer.rows, ElementsAre(0, 2));
  EXPECT_EQ(fewer.change, "the head keeps the rows of 2 of its 3 classes, by name");
  // Spare classes of a run are classes without a name.
  EXPECT_THAT(plan({"cat", "dog"}, {"dog", "fox"}, {{"num_classes", "4"}}).rows,
              ElementsAre(1, -1, -1, -1));
  LoadedModel imagenet = weights_of("nest_tiny_jx");
  imagenet.labels = {"n02123045", "n02099601"};
  imagenet.descriptions = {{"n02123045", "tabby"}, {"n02099601", "golden retriever"}};
  imagenet.config.num_classes = 2;
  EXPECT_THAT(
      plan_head(make(imagenet, {}, "", photos(2)), imagenet, {"golden retriever", "tabby"}).rows,
      ElementsAre(1, 0));
}

TEST(FineTune, ClassesWithoutNamesAreMatchedByNumberWithAWarning) {
  for (const auto& [labels, classes] :
       {std::pair<std::vector<std::string>, std::vector<std::string>>{{"class 0", "class 1"},
                                                                      {"cat", "dog"}},
        {{"cat", "dog"}, {"0", "1"}}}) {
    const HeadPlan by_number = plan(labels, classes);
    EXPECT_THAT(by_number.rows, IsEmpty());
    EXPECT_EQ(by_number.change, "the head stays: 2 classes");
    EXPECT_THAT(by_number.warning, HasSubstr("no classes"));
    EXPECT_THAT(by_number.warning, HasSubstr("reinit_head"));
  }
  const HeadPlan another = plan({"class 0", "class 1", "class 2"}, {"cat", "dog"});
  EXPECT_EQ(another.change, "a new head for 2 classes, zeros (the weights have 3)");
  EXPECT_EQ(another.warning, "");
}

TEST(FineTune, AHeadThatIsAskedForComesWhateverTheNames) {
  for (const char* kind : {"zero_all", "random"}) {
    const HeadPlan asked = plan({"cat", "dog"}, {"dog", "cat"}, {{"reinit_head", kind}});
    EXPECT_THAT(asked.rows, IsEmpty());
    EXPECT_THAT(asked.change, HasSubstr("a new head for 2 classes"));
    EXPECT_EQ(asked.warning, "");
  }
}

TEST(FineTune, EvaluationNeedsTheClassesOfTheWeights) {
  const LoadedModel weights = weights_of("nest_tiny_s196_224");
  expect_refused(
      [&] {
        make(weights, {{"eval_only", "True"}});
      },
      "knows 1000 classes", "--class-map");
  const Recipe r = make(weights, {{"eval_only", "True"}}, "", photos(1000));
  EXPECT_FALSE(r.preprocessing.exif_orientation) << "as the weights were evaluated";
}

TEST(FineTune, WrittenRecipeStartsTheSameRun) {
  const LoadedModel weights = weights_of("nest_tiny_jx", "timm");
  Recipe r = make(weights, {{"input_size", "384"}, {"freeze", "[levels.0, patch_embed]"}});
  const testing::TempDir folder;
  const fs::path path = folder / "config.yaml";
  write_file(path, fields(r).to_yaml());
  Recipe again = make(weights, {}, path);
  EXPECT_EQ(fields(again).to_yaml(), fields(r).to_yaml());
  EXPECT_THAT(locked_keys(r), Contains("freeze"));
}

TEST(FineTune, WeightsOfNoNamedVariantStillMakeARecipe) {
  LoadedModel weights = weights_of("nest_tiny_s196_224");
  weights.config.variant = "nest";
  weights.config.num_layers_per_block = {1, 1, 2};
  Recipe r = make(weights, {});
  EXPECT_THAT(r.nest.num_layers_per_block, ElementsAre(1, 1, 2));
  const testing::TempDir folder;
  const fs::path path = folder / "config.yaml";
  write_file(path, fields(r).to_yaml());
  EXPECT_EQ(apply(Recipe(), {path, {}}).nest.num_layers_per_block, r.nest.num_layers_per_block);
}

}  // namespace
}  // namespace nestvit

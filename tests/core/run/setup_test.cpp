// Preparing a run without a command line: which base the settings go over, and what is refused.
#include "run/setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "base/file.h"
#include "data/training_data.h"
#include "image/codecs/codec.h"
#include "support/errors.h"
#include "support/recipes.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

uint8_t shade(const std::string& label, int number) {
  return static_cast<uint8_t>((label == "dark" ? 20 : 200) + number);
}

LoadedNetwork no_weights(const std::string& name, const ImportOptions&) {
  throw Error("fetched " + name);
}

class SetupTest : public ::testing::Test {
 protected:
  // A folder of two classes with ten images each.
  SetupTest() {
    for (const char* label : {"bright", "dark"})
      for (int i = 0; i < 10; ++i) {
        const Image image{16, 16, 3, std::vector<uint8_t>(16 * 16 * 3, shade(label, i))};
        const std::filesystem::path path = data() / label / (std::to_string(i) + ".png");
        std::filesystem::create_directories(path.parent_path());
        write_png(path, image);
      }
  }
  std::filesystem::path data() const { return folder_.path() / "data"; }
  RunRequest request(Settings::Values values = {}) const {
    values.emplace_back("data.dir", data().string());
    RunRequest request;
    request.settings.values = std::move(values);
    return request;
  }
  // Weights of a NesT for 16 pixels and three classes.
  static LoadedNetwork weights(const std::string& name) {
    LoadedModel model;
    model.config = variant("nest_tiny_jx");
    model.config.image_size = 16;
    model.config.patch_size = 4;
    model.config.init_patch_embed_size = 2;
    model.config.num_layers_per_block = {1, 1};
    model.config.embedding_dim = 8;
    model.config.num_heads = 2;
    model.config.num_classes = 3;
    model.preprocessing = preprocessing_mode("timm", 16);
    model.labels = {"dark", "bright", "other"};
    model.origin = name;
    return model;
  }
  // The folder of a run that has begun by `recipe`.
  std::filesystem::path begun(const Recipe& recipe) const {
    const std::filesystem::path workdir = folder_.path() / "run";
    std::filesystem::create_directories(workdir);
    write_file(workdir / "config.yaml", yaml(recipe));
    return workdir;
  }

  testing::TempDir folder_;
};

TEST_F(SetupTest, AFolderAloneMakesARun) {
  const RunSetup setup = set_up(request(), no_weights);
  EXPECT_THAT(setup.train->classes(), ElementsAre("bright", "dark"));
  EXPECT_EQ(setup.train->size(), 16);
  EXPECT_EQ(setup.val->size(), 4);
  EXPECT_EQ(setup.recipe.num_classes, 2);
  EXPECT_EQ(setup.recipe.model_name, "nest_tiny_s196_224");
  EXPECT_EQ(setup.base, "the default for 16 images of about 16 pixels");
  EXPECT_FALSE(setup.weights);
}

TEST_F(SetupTest, FileAndNamedRecipeAreBasesOfTheirOwn) {
  const std::filesystem::path file = folder_.path() / "recipe.yaml";
  write_file(file, "model_name: nest_tiny_s16_32\nnum_epochs: 7\n");
  RunRequest asked = request({{"input_size", "32"}, {"model_ema_decay", "0.9"}});
  asked.settings = Settings(file, asked.settings.values);
  asked.named_recipe = "timm";
  const RunSetup setup = set_up(asked, no_weights);
  EXPECT_EQ(setup.base, file.string() + ", over \"timm\"");
  EXPECT_EQ(setup.recipe.model_name, "nest_tiny_s16_32") << "the file's";
  EXPECT_TRUE(setup.recipe.model_ema) << "the named recipe's";
  EXPECT_EQ(setup.recipe.model_ema_decay, 0.9) << "the settings'";
}

// A job's script names its model each time; the run may have begun by other keys as well.
TEST_F(SetupTest, AResumedRunMayBeToldItsOwnModel) {
  const Recipe first =
      set_up(request({{"model_name", "nest_tiny_s16_32"}, {"nest.embedding_dim", "48"}}),
             no_weights)
          .recipe;
  EXPECT_EQ(first.nest.embedding_dim, 48);
  RunRequest again = request({{"model_name", "nest_tiny_s16_32"}});
  again.resume = begun(first);
  EXPECT_EQ(set_up(again, no_weights).recipe.nest, first.nest);
}

// A run that began in the data's folder goes on from any other.
TEST_F(SetupTest, RelativePathsCountFromTheCurrentFolderAndAreKeptAbsolute) {
  const std::filesystem::path before = std::filesystem::current_path();
  const std::filesystem::path file = folder_.path() / "recipe.yaml";
  write_file(file, "data:\n  dir: data\nnum_epochs: 9\nwarmup_epochs: 1\n");
  std::filesystem::current_path(folder_.path());
  RunRequest asked;
  asked.settings = Settings("recipe.yaml", {});
  const Recipe first = set_up(asked, no_weights).recipe;
  RunRequest again;
  again.resume = begun(first);
  std::filesystem::current_path(before);
  EXPECT_EQ(first.data.dir, data().string());
  EXPECT_EQ(set_up(again, no_weights).recipe.data.dir, data().string());
}

TEST_F(SetupTest, TheFileIsReadOnce) {
  const std::filesystem::path file = folder_.path() / "recipe.yaml";
  write_file(file, "num_epochs: 7\nwarmup_epochs: 1\ninput_size: 32\n");
  RunRequest asked = request();
  asked.settings = Settings(file, asked.settings.values);
  std::filesystem::remove(file);
  EXPECT_EQ(set_up(asked, no_weights).recipe.num_epochs, 7);
}

TEST_F(SetupTest, RatesForABatchAreScaledToTheKeys) {
  RunRequest asked = request({{"per_device_batch_size", "4"}, {"grad_accum_steps", "2"}});
  asked.learning_rate = 0.5;
  asked.min_learning_rate = 0.25;
  const RunSetup setup = set_up(asked, no_weights);
  EXPECT_DOUBLE_EQ(setup.recipe.learning_rate, 0.5 * 256 / 8);
  EXPECT_DOUBLE_EQ(setup.recipe.min_learning_rate, 0.25 * 256 / 8);
}

TEST_F(SetupTest, WeightsAreFetchedByNameAndMakeTheBase) {
  RunRequest asked = request({{"init_checkpoint", "some/where"}, {"model_name", "nest_tiny_jx"}});
  asked.prefer_ema = true;
  const RunSetup setup = set_up(asked, [](const std::string& name, const ImportOptions& options) {
    EXPECT_TRUE(options.prefer_ema);
    EXPECT_EQ(options.hints.variant, "nest_tiny_jx");
    return weights(name);
  });
  const std::string place = std::filesystem::absolute("some/where").string();
  EXPECT_EQ(setup.recipe.init_checkpoint, place);
  EXPECT_EQ(setup.recipe.nest.embedding_dim, 8);
  EXPECT_EQ(setup.recipe.preprocessing.resampler, Resampler::kPil);
  EXPECT_EQ(setup.weights->origin, place);
  EXPECT_THAT(setup.base, HasSubstr("fine-tuning on"));
}

TEST_F(SetupTest, EvaluationOnlyOpensNoTrainingDataAndMatchesClasses) {
  const RunSetup setup =
      set_up(request({{"init_checkpoint", "w"}, {"eval_only", "true"}}),
             [](const std::string& name, const ImportOptions&) { return weights(name); });
  EXPECT_FALSE(setup.train);
  EXPECT_EQ(setup.recipe.num_classes, 3) << "two of the weights' classes are in the data";
}

TEST_F(SetupTest, AResumedRunKeepsItsRecipeAndReadsNoWeights) {
  const RunSetup first = set_up(request({{"num_epochs", "9"}, {"warmup_epochs", "1"}}), no_weights);
  RunRequest again;
  again.resume = begun(first.recipe);
  again.settings.values = {{"num_epochs", "12"}, {"init_checkpoint", "elsewhere"}};
  ::testing::internal::CaptureStderr();
  const RunSetup setup = set_up(again, no_weights);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("elsewhere is not read"));
  Recipe expected = first.recipe;
  expected.num_epochs = 12;
  EXPECT_EQ(yaml(setup.recipe), yaml(expected));
  EXPECT_EQ(setup.base, (again.resume / "config.yaml").string());
}

// timm resumes from a checkpoint's file.
TEST_F(SetupTest, APartOfARunNamesTheRun) {
  RunRequest asked;
  const std::filesystem::path run = begun(set_up(request(), no_weights).recipe);
  std::filesystem::create_directories(run / "checkpoints/step-7");
  write_file(run / "checkpoints/step-7/config.json", "{}");
  std::filesystem::create_directory_symlink("checkpoints/step-7", run / "best");
  for (const char* part : {"best", "best/", "checkpoints", "checkpoints/step-7",
                           "checkpoints/step-7/config.json", "config.yaml"}) {
    asked.resume = run / part;
    testing::expect_error([&] { set_up(asked, no_weights); },
                          {part, "a part of the run", "--resume " + run.string() + " goes on"});
  }
  // Its weights elsewhere are no run.
  std::filesystem::copy(run / "checkpoints/step-7", folder_.path() / "copy");
  asked.resume = folder_.path() / "copy";
  testing::expect_error([&] { set_up(asked, no_weights); },
                        {"no config.yaml", "--initial-checkpoint " + asked.resume.string()});
}

TEST_F(SetupTest, EvaluationOnlyTakesWhatTheWeightsHeldOut) {
  const auto evaluated = [&](Settings::Values values) {
    values.insert(values.end(), {{"init_checkpoint", "w"}, {"eval_only", "true"}});
    const RunSetup setup = set_up(request(std::move(values)), [&](const std::string& name,
                                                                  const ImportOptions&) {
      LoadedNetwork trained = weights(name);
      const RunSetup run = set_up(request({{"seed", "7"}, {"data.val_share", "0.3"}}), no_weights);
      trained.trained_on = record_of(*run.train, *run.val, run.train->classes(),
                                     dataset_options(run.recipe, "train"));
      return trained;
    });
    return setup.val->size();
  };
  EXPECT_EQ(evaluated({}), 6) << "30 % of twice ten";
  EXPECT_EQ(evaluated({{"data.val_share", "1"}}), 20);
  EXPECT_EQ(evaluated({{"seed", "8"}}), 6) << "the share is the weights'";
}

TEST_F(SetupTest, MistakesAreNamed) {
  const auto refused = [](const RunRequest& asked, const std::string& word) {
    try {
      set_up(asked, no_weights);
      ADD_FAILURE() << "accepted: " << word;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(word));
      EXPECT_NE(error.hint(), "") << word;
    }
  };
  refused({}, "no data given");
  RunRequest asked = request();
  asked.named_recipe = "papers";
  refused(asked, "papers");
  asked = request();
  asked.resume = folder_.path() / "nothing";
  refused(asked, "holds no run to resume");
  const RunSetup first = set_up(request(), no_weights);
  asked.resume = begun(first.recipe);
  asked.named_recipe = "timm";
  refused(asked, "--recipe is for a new run");
  asked.named_recipe = "";
  asked.settings.values = {{"nest.embedding_dim", "128"}};
  refused(asked, "nest.embedding_dim was 64 when the run started and is 128 now");
  asked.settings.values = {{"eval_only", "true"}};
  refused(asked, "eval_only");
}

}  // namespace
}  // namespace nestvit

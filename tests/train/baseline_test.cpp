// Whole runs of the ResNet baselines by the shipped recipes: read, trained, resumed bit for bit,
// evaluated, fine-tuned.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run/recipe/finetune.h"
#include "run/record/checkpoint.h"
#include "train/eval_only.h"
#include "train/trainer_test.h"
#include "weights/safetensors.h"

namespace nestvit::train {
namespace {

using ::testing::HasSubstr;
using Values = std::vector<std::pair<std::string, std::string>>;

class BaselineTest : public TrainerTest {
 protected:
  // A shipped recipe, but for few and small images.
  Recipe shipped(const std::string& name, Values more = {}) const {
    more.insert(more.begin(), {{"per_device_batch_size", "4"},
                               {"input_size", "32"},
                               {"num_epochs", "2"},
                               {"warmup_epochs", "0"},
                               {"num_train_steps", "4"},
                               {"log_loss_every_steps", "1"}});
    return made(Recipe(), {fs::path(NESTVIT_SOURCE_DIR) / "configs" / name, more});
  }
  Recipe made(const Recipe& base, const Settings& settings) const {
    Recipe recipe = apply(base, settings);
    resolve(recipe, data_facts(few_, val_));
    return recipe;
  }
  // Weights, running statistics, optimiser state and history.
  void expect_same_end(const fs::path& a, const fs::path& b) const {
    for (const char* file : {"model.safetensors", "optimizer.safetensors"})
      expect_equal(read_safetensors(a / "last" / file), read_safetensors(b / "last" / file));
    EXPECT_EQ(read_text(a / "summary.csv"), read_text(b / "summary.csv"));
  }
  // `checks`: looks at the stop flag before the run is stopped.
  void expect_resumed_alike(const Recipe& r, int checks) {
    options_.workdir = root_ / "whole";
    EXPECT_TRUE(train(r, few_, val_, options_).finished);
    options_.workdir = root_ / "stopped";
    options_.stop = stop_after(checks);
    ASSERT_FALSE(train(r, few_, val_, options_).finished);
    options_.resume = true;
    options_.stop = [] { return 0; };
    EXPECT_TRUE(train(r, few_, val_, options_).finished);
    expect_same_end(root_ / "whole", root_ / "stopped");
  }

  Brightness few_{8};
};

TEST_F(BaselineTest, CifarRecipeTrainsAndResumes) {
  const Recipe r = shipped("cifar_cnn.yaml", {{"input_size", "8"}});
  EXPECT_EQ(parameter_count(architecture_of(r)), 11'173'962 - 8 * 513)
      << "two classes instead of ten";
  EXPECT_EQ(r.preprocessing.mean, std::vector<double>(3, 0)) << "images stay in [0, 1]";
  expect_resumed_alike(r, 3);

  const LoadedNetwork trained = load_network(root_ / "whole" / "last");
  EXPECT_EQ(trained.config.variant(), "resnet18_cifar");
  const TensorMap before = initial_tensors(trained.config, static_cast<uint64_t>(r.seed));
  for (const char* moved : {"conv1.weight", "bn1.running_var", "layer1.0.bn2.weight", "fc.bias"})
    EXPECT_NE(trained.tensors.at(moved).to_f32(), before.at(moved).to_f32()) << moved;
}

TEST_F(BaselineTest, ResNet50RecipeTrainsAndResumes) {
  const Recipe r = shipped("resnet50_imagenet.yaml", {{"num_train_steps", "2"}});
  EXPECT_EQ(r.model_name, "resnet50");
  expect_resumed_alike(r, 1);
}

// A few steps at a rate that suits them must tell bright from dark.
TEST_F(BaselineTest, Learns) {
  const Recipe r = shipped("cifar_cnn.yaml", {{"input_size", "8"},
                                              {"num_train_steps", "30"},
                                              {"learning_rate", "0.64"},
                                              {"eval_every_steps", "30"}});
  const TrainResult result = train(r, few_, val_, options_);
  ASSERT_TRUE(result.best_top1);
  EXPECT_EQ(*result.best_top1, 100);
}

TEST_F(BaselineTest, EvaluationOnlyAndFineTuning) {
  train(shipped("cifar_cnn.yaml", {{"input_size", "8"}}), few_, val_, options_);
  nlohmann::json last;
  for (const auto& event : log())
    if (event.at("event") == "eval") last = event;
  LoadedNetwork trained = load_network(options_.workdir / "last");
  options_.weights = &trained;

  options_.workdir = root_ / "evaluated";
  const Values start = {{"init_checkpoint", trained.origin}, {"per_device_batch_size", "4"}};
  Settings evaluation{{}, start};
  evaluation.values.emplace_back("eval_only", "true");
  const Recipe asked = apply(Recipe(), evaluation);
  const Recipe r = made(with_weights(Recipe(), trained, asked), evaluation);
  check_architecture(r, trained);
  check_weights(r, trained);
  EXPECT_EQ(evaluate_only(r, val_, options_), 0);
  EXPECT_NEAR(log().front().at("eval_loss").get<double>(), last.at("eval_loss").get<double>(),
              1e-6);

  options_.workdir = root_ / "tuned";
  Settings tuning{{}, start};
  tuning.values.insert(tuning.values.end(), {{"input_size", "12"},
                                             {"freeze", "[backbone]"},
                                             {"num_epochs", "1"},
                                             {"warmup_epochs", "0"}});
  const Recipe tune = made(with_weights(Recipe(), trained, apply(Recipe(), tuning)), tuning);
  EXPECT_TRUE(train(tune, few_, val_, options_).finished);
  for (const auto& [name, tensor] : load_network(options_.workdir / "last").tensors)
    EXPECT_EQ(tensor.to_f32() != trained.tensors.at(name).to_f32(), is_head(name)) << name;
}

TEST_F(BaselineTest, MistakesAreNamed) {
  const auto hint_of = [&](const Values& values) -> std::string {
    try {
      shipped("cifar_cnn.yaml", values);
    } catch (const UsageError& e) {
      return std::string(e.what()) + " / " + e.hint();
    }
    return "accepted";
  };
  EXPECT_THAT(hint_of({{"nest.embedding_dim", "64"}}),
              HasSubstr("nest.embedding_dim is 64, but resnet18_cifar is not a NesT"));
  EXPECT_THAT(hint_of({{"resize_posembed", "2"}}), HasSubstr("no position embeddings"));
  EXPECT_THAT(hint_of({{"model_name", "resnet34"}}), HasSubstr("resnet18"));
  EXPECT_THAT(hint_of({{"freeze", "[levels.0]"}, {"init_checkpoint", "x"}}), HasSubstr("layer4"));
}

}  // namespace
}  // namespace nestvit::train

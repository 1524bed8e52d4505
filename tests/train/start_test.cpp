// Runs that start from weights: fitted, frozen in part, resumed, or only evaluated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "run/recipe/finetune.h"
#include "run/record/checkpoint.h"
#include "train/eval_only.h"
#include "train/trainer_test.h"

namespace nestvit::train {
namespace {

using ::testing::HasSubstr;
using Values = std::vector<std::pair<std::string, std::string>>;

class StartTest : public TrainerTest {
 protected:
  void SetUp() override {
    TrainerTest::SetUp();
    weights_.config = recipe().nest;
    weights_.preprocessing = recipe().preprocessing;
    weights_.labels = train_.classes();
    weights_.tensors = initial_tensors(weights_.config, 5);
    weights_.origin = "the weights";
    options_.weights = &given_;
  }
  // Also hands the weights, as they are now, to the run.
  Recipe from_weights(Values more = {}) {
    given_ = weights_;
    more.insert(more.begin(), {{"init_checkpoint", "the weights"}, {"num_epochs", "2"}});
    return recipe(more);
  }
  // Only names in `moved` may differ, and all of them must.
  void expect_moved(const std::function<bool(const std::string&)>& moved) const {
    for (const auto& [name, tensor] : weights(options_.workdir))
      EXPECT_EQ(tensor.to_f32() != weights_.tensors.at(name).to_f32(), moved(name)) << name;
  }

  LoadedModel weights_;
  LoadedNetwork given_;
};

TEST_F(StartTest, BeginsWithTheWeights) {
  train(from_weights({{"learning_rate", "0"}}), train_, val_, options_);
  expect_moved([](const std::string&) { return false; });
}

TEST_F(StartTest, LinearProbeMovesTheHeadAlone) {
  train(from_weights({{"freeze", "[backbone]"},
                      {"nest.stochastic_depth_drop", "0.5"},
                      {"weight_decay", "0.5"}}),
        train_, val_, options_);
  expect_moved([](const std::string& name) { return name.starts_with("head."); });
}

TEST_F(StartTest, FrozenLevelsRestWithTheirStatistics) {
  weights_.config.norm_type = Norm::kBatch;
  weights_.tensors = initial_tensors(weights_.config, 5);
  train(from_weights({{"nest.norm_type", "BN"}, {"freeze", "[patch_embed, levels.0]"}}), train_,
        val_, options_);
  expect_moved([](const std::string& name) {
    return !name.starts_with("patch_embed") && !name.starts_with("levels.0");
  });
}

// Frozen layers do not drop paths: with all of them frozen, a run does not depend on the rate.
TEST_F(StartTest, FrozenLevelsDropNothing) {
  const Values probe = {{"freeze", "[backbone]"}, {"nest.stochastic_depth_drop", "0"}};
  train(from_weights(probe), train_, val_, options_);
  const TensorMap without = weights(options_.workdir);
  options_.workdir = root_ / "dropping";
  train(from_weights({probe[0], {"nest.stochastic_depth_drop", "0.9"}}), train_, val_, options_);
  expect_equal(weights(options_.workdir), without);
}

TEST_F(StartTest, AnotherNumberOfClassesStartsFromAZeroHead) {
  weights_.config.num_classes = 7;
  weights_.tensors = initial_tensors(weights_.config, 5);
  train(from_weights({{"log_loss_every_steps", "1"}}), train_, val_, options_);
  for (const auto& event : log())
    if (event.at("event") == "train") {
      EXPECT_NEAR(event.at("loss").get<double>(), std::log(2), 1e-6) << "all logits are 0";
      break;
    }
}

TEST_F(StartTest, WeightsThatDoNotFitLeaveNoFolder) {
  weights_.config.embedding_dim = 8;
  weights_.tensors = initial_tensors(weights_.config, 5);
  EXPECT_THROW(train(from_weights(), train_, val_, options_), Error);
  EXPECT_FALSE(fs::exists(options_.workdir));
}

// A resumed run goes on from its checkpoint; the weights it started from are not looked at.
TEST_F(StartTest, ResumedRunIsTheSameRun) {
  const Recipe r = from_weights(
      {{"freeze", "[levels.0]"}, {"layer_decay", "0.7"}, {"nest.stochastic_depth_drop", "0.3"}});
  options_.workdir = root_ / "whole";
  train(r, train_, val_, options_);
  for (const int checks : {1, 5, 9}) {
    SCOPED_TRACE(::testing::Message() << "stopped at look " << checks);
    options_.workdir = root_ / ("stopped" + std::to_string(checks));
    options_.resume = false;
    options_.weights = &given_;
    options_.stop = stop_after(checks);
    ASSERT_FALSE(train(r, train_, val_, options_).finished);
    options_.resume = true;
    options_.weights = nullptr;
    options_.stop = [] { return 0; };
    EXPECT_TRUE(train(r, train_, val_, options_).finished);
    expect_equal(weights(options_.workdir), weights(root_ / "whole"));
  }
  EXPECT_THROW(train(from_weights({{"freeze", "[levels.1]"}}), train_, val_, options_), UsageError);
}

TEST_F(StartTest, EvaluationOnlyWritesTheResultAndNoCheckpoint) {
  const Recipe r = from_weights({{"num_epochs", "4"}});
  train(r, train_, val_, options_);
  const LoadedNetwork trained = load_network(options_.workdir / "last");
  nlohmann::json last;
  for (const auto& event : log())
    if (event.at("event") == "eval") last = event;

  options_.workdir = root_ / "evaluated";
  options_.weights = &trained;
  const Recipe evaluation = from_weights({{"eval_only", "true"}});
  EXPECT_EQ(evaluate_only(evaluation, val_, options_), 0);
  ASSERT_EQ(log().size(), 1U);
  const nlohmann::json event = log().front();
  EXPECT_EQ(event.at("step"), 0);
  EXPECT_DOUBLE_EQ(event.at("accuracy").get<double>() * 100, last.at("top1").get<double>());
  EXPECT_NEAR(event.at("eval_loss").get<double>(), last.at("eval_loss").get<double>(), 1e-6);
  EXPECT_EQ(event.at("images"), val_.size());
  EXPECT_FALSE(fs::exists(options_.workdir / "checkpoints"));
  EXPECT_FALSE(fs::exists(options_.workdir / "config.yaml")) << "there is nothing to resume";
  const std::string summary = read_text(options_.workdir / "summary.csv");
  EXPECT_THAT(summary, HasSubstr("\n0,,")) << "step 0, nothing trained";

  options_.workdir = root_ / "part";
  evaluate_only(from_weights({{"eval_only", "true"}, {"num_eval_steps", "1"}}), val_, options_);
  EXPECT_EQ(log().front().at("images"), 6) << "one batch";
  options_.workdir = root_ / "run";
  EXPECT_THROW(evaluate_only(evaluation, val_, options_), UsageError) << "a run lies there";
  options_.workdir = root_ / "stopped";
  options_.stop = [] { return SIGTERM; };
  EXPECT_EQ(evaluate_only(evaluation, val_, options_), SIGTERM);
  EXPECT_FALSE(fs::exists(options_.workdir));
}

// CIFAR from ImageNet weights at a larger size (reference.md D.6, F.6), on a small stand-in for
// the weights.
TEST_F(StartTest, CifarRecipeFromImageNetWeights) {
  const Brightness train_set(24, -1, "cifar10", 32), val_set(6, -1, "cifar10", 32);
  LoadedModel imagenet;
  imagenet.config = variant("nest_tiny_s196_224");
  imagenet.config.embedding_dim = 6;
  imagenet.config.num_layers_per_block = {1, 1, 1};
  imagenet.config.image_size = 64;
  imagenet.config.patch_size = 4;
  imagenet.preprocessing = preprocessing_mode("jax", 64);
  imagenet.tensors = initial_tensors(imagenet.config, 1);
  imagenet.origin = "a stand-in";
  const Settings settings{fs::path(NESTVIT_SOURCE_DIR) / "configs/cifar_nest.yaml",
                          {{"model_name", "nest_tiny_s196_224"},
                           {"input_size", "224"},
                           {"reinit_head", "zero_all"},
                           {"init_checkpoint", "a stand-in"},
                           {"per_device_batch_size", "6"},
                           {"num_epochs", "1"},
                           {"warmup_epochs", "0"},
                           {"log_loss_every_steps", "1"}}};
  const DataFacts facts = data_facts(train_set, val_set);
  Recipe r = apply(with_weights(Recipe(), imagenet, apply(Recipe(), settings)), settings);
  resolve(r, facts);
  check_weights(r, imagenet);
  EXPECT_EQ(r.nest.patch_size, 14);
  const LoadedNetwork given = imagenet;
  options_.weights = &given;
  EXPECT_TRUE(train(r, train_set, val_set, options_).finished);
  std::vector<double> losses;
  for (const auto& event : log())
    if (event.at("event") == "train") losses.push_back(event.at("loss"));
  ASSERT_EQ(losses.size(), 4U);
  EXPECT_NEAR(losses[0], std::log(2), 1e-6) << "a head of zeros";
  EXPECT_NE(losses[1], losses[0]) << "it learns";
}

}  // namespace
}  // namespace nestvit::train

// The training loop on a tiny task: it learns, logs, stops, resumes and refuses.
#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"
#include "run/recipe/resolve.h"
#include "run/record/checkpoint.h"
#include "train/trainer_test.h"
#include "weights/safetensors.h"

namespace nestvit::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(TrainerTest, LearnsAndLeavesACompleteRunFolder) {
  const TrainResult result = train(recipe(), train_, val_, options_);
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.step, 40 * 4 / 6);
  EXPECT_EQ(result.best_top1, 100);

  // 26 steps, 6 per epoch: rows after steps 6, 12, 18 and the last.
  std::istringstream summary(read_text(options_.workdir / "summary.csv"));
  std::string line;
  std::getline(summary, line);
  EXPECT_EQ(line, "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr");
  int rows = 0;
  while (std::getline(summary, line)) ++rows;
  EXPECT_EQ(rows, 4);

  std::vector<std::string> names;
  for (const auto& event : log()) names.push_back(event.at("event"));
  EXPECT_EQ(names.front(), "start");
  EXPECT_EQ(std::count(names.begin(), names.end(), "train"), 13);
  EXPECT_EQ(std::count(names.begin(), names.end(), "eval"), 4);
  EXPECT_LT(log().back().at("step"), 27);

  const LoadedModel last = load_model(options_.workdir / "last");
  EXPECT_EQ(last.labels, train_.classes());
  EXPECT_EQ(last.preprocessing, recipe().preprocessing);
  EXPECT_NO_THROW(load_model(options_.workdir / "best"));
  Recipe written = apply(Recipe(), {options_.workdir / "config.yaml", {}});
  EXPECT_EQ(digest(written), digest(recipe()));
}

// 26 steps, 6 per epoch: whatever the intervals, the steps that remain belong to the last one.
TEST_F(TrainerTest, TheLastIntervalIsEvaluatedOnceAtTheEnd) {
  struct Case {
    std::pair<std::string, std::string> key;
    std::vector<int64_t> evaluations;
    std::vector<double> epochs;  // of these
  };
  const Case cases[] = {
      {{"eval_per_epochs", "1"}, {6, 12, 18, 26}, {1, 2, 3, 4}},
      {{"eval_per_epochs", "2"}, {12, 26}, {2, 4}},
      {{"eval_per_epochs", "3"}, {26}, {4}},
      {{"eval_every_steps", "4"}, {4, 8, 12, 16, 20, 26}, {4 / 6.0, 8 / 6.0, 2, 16 / 6.0, 3.25, 4}},
      {{"eval_every_steps", "13"}, {13, 26}, {13 / 6.0, 4}},
      {{"eval_every_steps", "25"}, {26}, {4}}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.key.first + "=" + c.key.second);
    fs::remove_all(options_.workdir);
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(train(recipe({c.key}), train_, val_, options_).step, 26);
    const std::string text = ::testing::internal::GetCapturedStderr();
    EXPECT_THAT(text, HasSubstr("epoch 4/4  train loss"));
    EXPECT_THAT(text, Not(HasSubstr("epoch 4.")));
    std::vector<int64_t> evaluations;
    std::vector<double> epochs;
    for (const auto& event : measured()) {
      EXPECT_LE(event.at("epoch").get<double>(), 4) << event;
      if (event.at("event") != "eval") continue;
      evaluations.push_back(event.at("step"));
      epochs.push_back(event.at("epoch"));
    }
    EXPECT_EQ(evaluations, c.evaluations);
    ASSERT_EQ(epochs.size(), c.epochs.size());
    for (size_t i = 0; i < epochs.size(); ++i) EXPECT_NEAR(epochs[i], c.epochs[i], 1e-12);
    EXPECT_THAT(read_text(options_.workdir / "summary.csv"), HasSubstr("\n4,"));
  }
}

TEST_F(TrainerTest, FirstLossIsThatOfAGuess) {
  // A fresh head is zero or tiny (reference.md A.5), so the first loss is close to ln 2.
  train(recipe({{"num_epochs", "1"},
                {"num_train_steps", "1"},
                {"warmup_epochs", "0"},
                {"log_loss_every_steps", "1"}}),
        train_, val_, options_);
  for (const auto& event : log()) {
    if (event.at("event") != "train") continue;
    EXPECT_NEAR(event.at("loss").get<double>(), std::log(2), 0.1);
  }
}

// The paper's whole chain, where every step draws.
const std::vector<std::pair<std::string, std::string>> kWholeChain = {
    {"augment.type", "randaugment"},
    {"augment.randaugment_magnitude", "9"},
    {"augment.randaugment_magstd", "0.5"},
    {"augment.randaugment_prob_to_apply", "0.5"},
    {"colorjitter.type", "colorjitter"},
    {"randerasing.erase_prob", "0.5"},
    {"mix.mixup_alpha", "0.8"},
    {"mix.smoothing", "0.1"}};

std::vector<std::pair<std::string, std::string>> with_chain(
    std::vector<std::pair<std::string, std::string>> more) {
  more.insert(more.end(), kWholeChain.begin(), kWholeChain.end());
  return more;
}

// Stop at every possible moment: the resumed run must end where the whole one ends.
TEST_F(TrainerTest, ResumedRunIsTheSameRun) {
  const Recipe r = recipe(with_chain({{"nest.stochastic_depth_drop", "0.3"}, {"num_epochs", "2"}}));
  options_.workdir = root_ / "whole";
  train(r, train_, val_, options_);
  const std::string summary = read_text(root_ / "whole/summary.csv");
  const std::string state = read_text(root_ / "whole/last/state.json");
  const std::vector<nlohmann::json> lines = measured();
  const TensorMap expected = weights(root_ / "whole");
  for (int checks = 0; checks < 20; ++checks) {
    SCOPED_TRACE(::testing::Message() << "stopped at look " << checks);
    options_.workdir = root_ / ("stopped" + std::to_string(checks));
    options_.resume = false;
    options_.stop = stop_after(checks);
    const TrainResult stopped = train(r, train_, val_, options_);
    if (stopped.finished) break;
    EXPECT_EQ(stopped.signal, SIGTERM);
    options_.resume = true;
    options_.stop = [] { return 0; };
    EXPECT_TRUE(train(r, train_, val_, options_).finished);
    expect_equal(weights(options_.workdir), expected);
    EXPECT_EQ(read_text(options_.workdir / "summary.csv"), summary);
    EXPECT_EQ(read_text(options_.workdir / "last/state.json"), state);
    EXPECT_EQ(measured(), lines);
  }
}

// Everything that a step can be made of: parts, a running average, 16 bits, layers computed twice.
TEST_F(TrainerTest, ResumedRunIsTheSameRunWithEveryOption) {
  for (const char* amp : {"bf16", "fp16"}) {
    const Recipe r = recipe(with_chain({{"nest.stochastic_depth_drop", "0.3"},
                                        {"num_epochs", "3"},
                                        {"per_device_batch_size", "3"},
                                        {"grad_accum_steps", "3"},
                                        {"amp", amp},
                                        {"grad_checkpointing", "true"},
                                        {"model_ema", "true"},
                                        {"model_ema_warmup", "true"},
                                        {"data.sampler", "balanced"}}));
    options_ = {};
    options_.workers = options_.threads = 1;
    options_.workdir = root_ / amp / "whole";
    train(r, train_, val_, options_);
    const auto state = [&](const fs::path& run) {
      return read_safetensors(run / "last/optimizer.safetensors");
    };
    for (const int checks : {1, 4, 6, 9}) {
      SCOPED_TRACE(::testing::Message() << amp << ", stopped at look " << checks);
      const fs::path run = root_ / amp / ("stopped" + std::to_string(checks));
      options_.workdir = run;
      options_.resume = false;
      options_.stop = stop_after(checks);
      ASSERT_FALSE(train(r, train_, val_, options_).finished);
      options_.resume = true;
      options_.stop = [] { return 0; };
      EXPECT_TRUE(train(r, train_, val_, options_).finished);
      expect_equal(weights(run), weights(root_ / amp / "whole"));
      expect_equal(state(run), state(root_ / amp / "whole"));
      EXPECT_EQ(read_text(run / "summary.csv"), read_text(root_ / amp / "whole/summary.csv"));
    }
  }
}

TEST_F(TrainerTest, AccumulatedBatchesAreOneLargeOne) {
  // The same images make the same steps, up to the order of sums (drop-path 0, no mixing).
  const std::vector<std::pair<std::string, std::string>> plain = {
      {"nest.stochastic_depth_drop", "0"}, {"optim", "sgd"}};
  auto halves = plain;
  halves.insert(halves.end(), {{"per_device_batch_size", "3"}, {"grad_accum_steps", "2"}});
  options_.workdir = root_ / "one";
  train(recipe(plain), train_, val_, options_);
  const TensorMap one = weights(options_.workdir);
  options_.workdir = root_ / "two";
  EXPECT_EQ(train(recipe(halves), train_, val_, options_).step, 40 * 4 / 6) << "of 6 images";
  const TensorMap two = weights(options_.workdir);
  for (const auto& [name, tensor] : one) {
    const std::vector<float> a = tensor.to_f32(), b = two.at(name).to_f32();
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5) << name;
  }
}

TEST_F(TrainerTest, AverageIsEvaluatedAndKept) {
  const std::vector<std::pair<std::string, std::string>> still = {
      {"model_ema", "true"}, {"model_ema_decay", "0.999999"}, {"num_epochs", "4"}};
  train(recipe(still), train_, val_, options_);
  // Such an average stands where the first step led, which was small in warm-up: it has learned
  // next to nothing, though the weights have.
  const TensorMap raw = read_safetensors(options_.workdir / "last/optimizer.safetensors");
  EXPECT_NE(weights(options_.workdir).at("head.bias").to_f32(), raw.at("raw.head.bias").to_f32());
  double first = 0, last = 0;
  for (const auto& event : log())
    if (event.at("event") == "eval") (first == 0 ? first : last) = event.at("eval_loss");
  EXPECT_NEAR(first, last, 1e-3);
}

TEST_F(TrainerTest, LearnsInHalfPrecision) {
  for (const char* amp : {"bf16", "fp16"}) {
    options_.workdir = root_ / amp;
    EXPECT_EQ(train(recipe({{"amp", amp}}), train_, val_, options_).best_top1, 100) << amp;
  }
}

// A confusion matrix of these would take 320 GB, and the run's page as many cells.
TEST_F(TrainerTest, EvaluatesManyClassesInLittleMemory) {
  train(recipe({{"num_classes", "200000"},
                {"num_epochs", "1"},
                {"num_train_steps", "2"},
                {"warmup_epochs", "0"}}),
        train_, val_, options_);
  const std::vector<nlohmann::json> events = log();
  const auto evaluation = std::find_if(
      events.begin(), events.end(), [](const auto& event) { return event.at("event") == "eval"; });
  ASSERT_NE(evaluation, events.end());
  EXPECT_TRUE(evaluation->contains("top1"));
  EXPECT_LT(fs::file_size(options_.workdir / "report.html"), 1 << 20);
}

TEST_F(TrainerTest, StopsWhenNothingGetsBetter) {
  // Nothing is learned at a rate of 0: evaluations after steps 6, 12, 18 are equal.
  const std::vector<std::pair<std::string, std::string>> values = {
      {"learning_rate", "0"}, {"patience", "2"}, {"num_epochs", "10"}};
  TrainResult result = train(recipe(values), train_, val_, options_);
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.step, 18);
  EXPECT_EQ(log().back().at("event"), "early_stop");
  options_.resume = true;
  EXPECT_EQ(train(recipe(values), train_, val_, options_).step, 18) << "and stays there";
  auto longer = values;
  longer[1].second = "3";
  EXPECT_EQ(train(recipe(longer), train_, val_, options_).step, 24);
}

TEST_F(TrainerTest, ProfileIsPrintedAndMayEndTheRun) {
  ::testing::internal::CaptureStderr();
  const TrainResult result = train(recipe({{"log_model_profile", "2"}}), train_, val_, options_);
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(result.step, 0);
  EXPECT_THAT(text, HasSubstr("level 1"));
  EXPECT_THAT(text, HasSubstr("Profile results Throughput: "));
  EXPECT_FALSE(Checkpoints(options_.workdir, 3).any());
}

TEST_F(TrainerTest, WorkersDoNotChangeTheRun) {
  const Recipe r = recipe(with_chain({{"num_epochs", "1"}, {"warmup_epochs", "0"}}));
  train(r, train_, val_, options_);
  const TensorMap one = weights(options_.workdir);
  // and the chain is in force
  options_.workdir = root_ / "plain";
  train(recipe({{"num_epochs", "1"}, {"warmup_epochs", "0"}, {"mix.smoothing", "0.1"}}), train_,
        val_, options_);
  EXPECT_NE(weights(options_.workdir).at("head.bias").to_f32(), one.at("head.bias").to_f32());
  for (const int workers : {0, 3}) {
    options_.workdir = root_ / ("workers" + std::to_string(workers));
    options_.workers = workers;
    train(r, train_, val_, options_);
    expect_equal(weights(options_.workdir), one);
  }
}

TEST_F(TrainerTest, FinishedRunResumesToNothing) {
  train(recipe({{"num_epochs", "1"}, {"warmup_epochs", "0"}}), train_, val_, options_);
  const std::string before = read_text(options_.workdir / "last/state.json");
  options_.resume = true;
  const TrainResult again =
      train(recipe({{"num_epochs", "1"}, {"warmup_epochs", "0"}}), train_, val_, options_);
  EXPECT_TRUE(again.finished);
  EXPECT_EQ(read_text(options_.workdir / "last/state.json"), before);
  // More epochs are allowed: the run goes on.
  EXPECT_GT(
      train(recipe({{"num_epochs", "2"}, {"warmup_epochs", "0"}}), train_, val_, options_).step,
      again.step);
}

TEST_F(TrainerTest, RefusesAFolderInUseAndAnotherRecipeOrData) {
  const Recipe r = recipe({{"num_epochs", "1"}, {"warmup_epochs", "0"}});
  train(r, train_, val_, options_);
  EXPECT_THROW(train(r, train_, val_, options_), UsageError) << "no --resume";
  options_.resume = true;
  EXPECT_THROW(train(recipe({{"nest.embedding_dim", "32"}}), train_, val_, options_), UsageError);
  EXPECT_THROW(train(recipe({{"per_device_batch_size", "4"}}), train_, val_, options_), UsageError);
  const Brightness more(60);
  EXPECT_THROW(train(r, more, val_, options_), Error);
  options_.workdir = root_ / "nothing";
  EXPECT_THROW(train(r, train_, val_, options_), Error);
}

TEST_F(TrainerTest, KilledBeforeItsFirstCheckpointBeginsAnew) {
  const Recipe r = recipe({{"num_epochs", "1"}, {"warmup_epochs", "0"}});
  train(r, train_, val_, options_);
  const TensorMap expected = weights(options_.workdir);
  fs::remove_all(options_.workdir / "checkpoints");
  options_.resume = true;
  EXPECT_TRUE(train(r, train_, val_, options_).finished);
  expect_equal(weights(options_.workdir), expected);
  std::vector<int64_t> steps;
  for (const auto& event : log())
    if (event.at("event") == "train") steps.push_back(event.at("step"));
  EXPECT_EQ(steps, (std::vector<int64_t>{2, 4, 6})) << "nothing twice";
}

TEST_F(TrainerTest, EverySecondEpochEvaluatedKeepsEveryCheckpoint) {
  train(recipe({{"num_epochs", "2"},
                {"eval_per_epochs", "2"},
                {"checkpoint_every_steps", "6"},
                {"num_train_steps", "12"}}),
        train_, val_, options_);
  std::vector<int64_t> steps;
  for (const auto& event : log())
    if (event.at("event") == "checkpoint") steps.push_back(event.at("step"));
  EXPECT_EQ(steps, (std::vector<int64_t>{6, 12})) << "at the end of an epoch, too";
}

TEST_F(TrainerTest, BrokenImageStopsOrIsListed) {
  const Brightness broken(40, 11);
  try {
    train(recipe(), broken, val_, options_);
    FAIL() << "trained on a broken image";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("image 11"));
  }
  options_.workdir = root_ / "skip";
  EXPECT_TRUE(train(recipe({{"data.on_bad_image", "skip"}}), broken, val_, options_).finished);
  int listed = 0;
  for (const auto& event : log())
    if (event.at("event") == "skipped") {
      EXPECT_EQ(event.at("image"), "image 11");
      ++listed;
    }
  EXPECT_EQ(listed, 1) << "once, however many epochs";
}

TEST_F(TrainerTest, LossThatIsNoNumberStops) {
  try {
    train(recipe({{"learning_rate", "1e30"}, {"warmup_epochs", "0"}}), train_, val_, options_);
    FAIL() << "went on";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("loss"));
    EXPECT_THAT(e.what(), HasSubstr("step"));
    EXPECT_THAT(e.hint(), HasSubstr("learning rate"));
  }
  EXPECT_FALSE(Checkpoints(options_.workdir, 3).any()) << "no checkpoint of broken weights";
}

TEST_F(TrainerTest, WarmUpLongerThanTheRunIsAUsageError) {
  EXPECT_THROW(train(recipe({{"warmup_epochs", "4"}}), train_, val_, options_), UsageError);
}

}  // namespace
}  // namespace nestvit::train

// The step arithmetic of the reference, and intervals that do not divide evenly.
#include "run/recipe/plan.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <vector>

#include "support/recipes.h"

namespace nestvit {
namespace {

std::vector<int64_t> evaluations(const StepPlan& plan) {
  std::vector<int64_t> steps;
  for (int64_t step = 0; step <= plan.total; ++step)
    if (plan.evaluation_ends(step)) steps.push_back(step);
  return steps;
}

TEST(StepPlan, StepsThatRemainBelongToTheLastInterval) {
  StepPlan plan{.total = 26, .per_epoch = 6, .per_evaluation = 6, .epochs = 4};
  EXPECT_EQ(evaluations(plan), (std::vector<int64_t>{6, 12, 18, 26}));
  plan.per_evaluation = 10;
  EXPECT_EQ(evaluations(plan), (std::vector<int64_t>{10, 26}));
  EXPECT_TRUE(plan.epoch_ends(18));
  EXPECT_FALSE(plan.epoch_ends(24));
  EXPECT_TRUE(plan.epoch_ends(26));
  plan.per_evaluation = 26;
  EXPECT_EQ(evaluations(plan), (std::vector<int64_t>{26}));
  plan = {.total = 24, .per_epoch = 6, .per_evaluation = 12, .epochs = 4};
  EXPECT_EQ(evaluations(plan), (std::vector<int64_t>{12, 24}));
}

TEST(StepPlan, TheLastStepMakesTheNumberOfEpochs) {
  const StepPlan plan{.total = 26, .per_epoch = 6, .per_evaluation = 6, .epochs = 4};
  EXPECT_EQ(plan.epoch(0), 0);
  EXPECT_EQ(plan.epoch(3), 0.5);
  EXPECT_EQ(plan.epoch(18), 3);
  EXPECT_EQ(plan.epoch(22), 3.5);
  EXPECT_EQ(plan.epoch(26), 4);
  // 1.67 steps per epoch, rounded down: more than an interval remains, and is evaluated.
  const StepPlan short_epochs{.total = 5, .per_epoch = 1, .per_evaluation = 1, .epochs = 3};
  EXPECT_EQ(evaluations(short_epochs), (std::vector<int64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(short_epochs.epoch(2), 2);
  EXPECT_NEAR(short_epochs.epoch(3), 2 + 1 / 3.0, 1e-15);
  EXPECT_EQ(short_epochs.epoch(5), 3);
}

// The official CIFAR recipe rounds 260.4 steps an epoch down; reference.md F.3.
TEST(StepPlan, OfTheCifarRecipe) {
  const StepPlan plan = step_plan(apply(Recipe(), {config("cifar_nest.yaml"), {}}), 50000);
  const std::vector<int64_t> steps = evaluations(plan);
  ASSERT_EQ(steps.size(), 60U);  // every 5 of 300 epochs
  EXPECT_EQ(steps[58], 59 * 5 * 260);
  EXPECT_EQ(steps[59], 78125);
  EXPECT_EQ(plan.epoch(59 * 5 * 260), 295);
  EXPECT_EQ(plan.epoch(78125), 300);
}

// reference.md F.3.
TEST(StepPlan, StepsAsInTheReference) {
  const Recipe cifar = apply(Recipe(), {config("cifar_nest.yaml"), {}});
  EXPECT_EQ(step_plan(cifar, 50000).total, 78125);
  EXPECT_EQ(step_plan(cifar, 50000).per_epoch, 260);
  EXPECT_EQ(step_plan(cifar, 50000).per_evaluation, 5 * 260);
  const Recipe imagenet =
      apply(Recipe(), {config("imagenet_nest.yaml"), {{"per_device_batch_size", "1024"}}});
  EXPECT_EQ(step_plan(imagenet, 1281167).total, 375341);
  EXPECT_EQ(step_plan(imagenet, 1281167).per_epoch, 1251);
}

TEST(StepPlan, EvaluationCadence) {
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

TEST(StepPlan, TooFewImagesForABatch) {
  const Recipe recipe =
      apply(Recipe(), {"", {{"per_device_batch_size", "192"}, {"num_epochs", "2"}}});
  EXPECT_THROW(step_plan(recipe, 100), UsageError);
  const Recipe steps = apply(Recipe(), {"", {{"num_train_steps", "5"}, {"num_epochs", "10"}}});
  EXPECT_THROW(step_plan(steps, 50000), UsageError);
}

}  // namespace
}  // namespace nestvit

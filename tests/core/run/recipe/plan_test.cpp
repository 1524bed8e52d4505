// The steps of a run whose intervals do not divide evenly.
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "run/recipe/recipe.h"

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
  const StepPlan plan = step_plan(
      apply(Recipe(), {std::filesystem::path(NESTVIT_SOURCE_DIR) / "configs/cifar_nest.yaml", {}}),
      50000);
  const std::vector<int64_t> steps = evaluations(plan);
  ASSERT_EQ(steps.size(), 60U);  // every 5 of 300 epochs
  EXPECT_EQ(steps[58], 59 * 5 * 260);
  EXPECT_EQ(steps[59], 78125);
  EXPECT_EQ(plan.epoch(59 * 5 * 260), 295);
  EXPECT_EQ(plan.epoch(78125), 300);
}

}  // namespace
}  // namespace nestvit

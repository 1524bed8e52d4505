// The step arithmetic of the reference.
#include "run/recipe/plan.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "support/recipes.h"

namespace nestvit {
namespace {

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

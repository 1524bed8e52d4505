// The learning rate against the official schedule, and its edges.
#include "run/recipe/schedule.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>

#include "support/golden_model.h"

namespace nestvit {
namespace {

ScheduleKind kind(const std::string& name) {
  if (name == "cosine") return ScheduleKind::kCosine;
  if (name == "linear") return ScheduleKind::kLinear;
  if (name == "constant") return ScheduleKind::kConstant;
  throw std::runtime_error("the goldens have a schedule " + name);
}

TEST(ScheduleGolden, LearningRate) {
  const auto cases =
      testing::golden_json(testing::golden_root() / "schedule" / "learning_rate.json");
  ASSERT_FALSE(cases.empty());
  for (const auto& [name, c] : cases.items()) {
    const double factor = c.at("global_batch").get<double>() / 256;
    Schedule schedule;
    schedule.kind = kind(c.at("schedule").get<std::string>());
    schedule.base = c.at("learning_rate").get<double>() * factor;
    schedule.minimum = c.at("min_learning_rate").get<double>() * factor;
    schedule.steps_per_epoch = c.at("steps_per_epoch").get<int64_t>();
    schedule.warmup_epochs = c.at("warmup_epochs").get<double>();
    schedule.num_epochs = c.at("num_epochs").get<double>();
    schedule.check();
    const auto steps = c.at("steps").get<std::vector<int64_t>>();
    const auto rates = c.at("learning_rate_float32").get<std::vector<double>>();
    ASSERT_EQ(steps.size(), rates.size());
    ASSERT_FALSE(steps.empty());
    for (size_t i = 0; i < steps.size(); ++i)
      EXPECT_NEAR(schedule.at(steps[i]), rates[i], 2e-7 * schedule.base)
          << name << " step " << steps[i];
  }
}

TEST(Schedule, NoWarmUpStartsAtThePeak) {
  Schedule schedule{
      .kind = ScheduleKind::kConstant, .base = 0.5, .steps_per_epoch = 10, .num_epochs = 2};
  EXPECT_EQ(schedule.at(1), 0.5F);
  EXPECT_EQ(schedule.at(20), 0.5F);
}

TEST(Schedule, MinimumActsAfterWarmUpOnly) {
  Schedule schedule{.kind = ScheduleKind::kLinear,
                    .base = 1,
                    .minimum = 0.25,
                    .steps_per_epoch = 10,
                    .warmup_epochs = 1,
                    .num_epochs = 2};
  EXPECT_FLOAT_EQ(schedule.at(1), 0.1F);
  EXPECT_FLOAT_EQ(schedule.at(15), 0.5F);
  EXPECT_FLOAT_EQ(schedule.at(19), 0.25F);
}

TEST(Schedule, WarmUpMayBeginAboveZero) {
  const Schedule schedule{.kind = ScheduleKind::kConstant,
                          .base = 1,
                          .warmup = 0.2,
                          .steps_per_epoch = 10,
                          .warmup_epochs = 1,
                          .num_epochs = 2};
  EXPECT_FLOAT_EQ(schedule.at(5), 0.6f);  // half way from 0.2 to 1
  EXPECT_FLOAT_EQ(schedule.at(10), 1);
}

TEST(Schedule, CheckRefusesWarmUpAsLongAsTheRun) {
  Schedule schedule{.base = 1, .steps_per_epoch = 10, .warmup_epochs = 3, .num_epochs = 3};
  EXPECT_THROW(schedule.check(), UsageError);
  schedule.warmup_epochs = std::nan("");
  EXPECT_THROW(schedule.check(), UsageError);
  schedule.warmup_epochs = 2.5;
  EXPECT_NO_THROW(schedule.check());
  schedule.steps_per_epoch = 0;
  EXPECT_THROW(schedule.check(), UsageError);
}

}  // namespace
}  // namespace nestvit

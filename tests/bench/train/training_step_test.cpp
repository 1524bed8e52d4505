// What the measurements compare must not lose a NaN: it would pass every check.
#include "bench/train/training_step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nestvit::bench {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(TrainingStep, WorseKeepsNaN) {
  EXPECT_EQ(worse(1, 2), 2);
  EXPECT_EQ(worse(2, 1), 2);
  EXPECT_TRUE(std::isnan(worse(kNaN, 1)));
  EXPECT_TRUE(std::isnan(worse(1, kNaN)));
}

TEST(TrainingStep, DifferenceIsTheLargestOfLossAndGradients) {
  const Gradients want{2, {torch::tensor({1.0, 4.0}), torch::zeros({2})}};
  EXPECT_EQ(difference(want, want), 0);
  EXPECT_EQ(difference({3, want.values}, want), 0.5);
  EXPECT_EQ(difference({2, {torch::tensor({2.0, 4.0}), torch::zeros({2})}}, want), 0.25);
  EXPECT_EQ(difference({2, {want.values[0], torch::ones({2})}}, want), 1) << "where none should be";
}

TEST(TrainingStep, DifferenceKeepsNaN) {
  const torch::Tensor good = torch::tensor({1.0, 4.0}), bad = torch::tensor({1.0, kNaN});
  const Gradients fine{2, {good, good}};
  EXPECT_TRUE(std::isnan(difference({kNaN, {good, good}}, fine)));
  EXPECT_TRUE(std::isnan(difference({2, {bad, good}}, fine)));
  EXPECT_TRUE(std::isnan(difference({2, {good, bad}}, fine)));
  EXPECT_TRUE(std::isnan(difference(fine, {2, {bad, good}})));
}

}  // namespace
}  // namespace nestvit::bench

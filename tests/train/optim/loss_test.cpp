// Cross-entropy on soft labels and label smoothing against sums done by hand.
#include "train/optim/loss.h"

#include <gtest/gtest.h>

#include <cmath>

namespace nestvit::train {
namespace {

TEST(Loss, UniformLogitsCostLogK) {
  const torch::Tensor targets = torch::tensor({{0.2F, 0.3F, 0.5F}, {1.0F, 0.0F, 0.0F}});
  EXPECT_NEAR(soft_cross_entropy(torch::full({2, 3}, 4.0), targets).item<double>(), std::log(3.0),
              1e-6);
}

TEST(Loss, IsTheMeanOverTheBatch) {
  const torch::Tensor logits = torch::tensor({{0.0F, std::log(3.0F)}, {std::log(4.0F), 0.0F}});
  const torch::Tensor targets = torch::tensor({{0.5F, 0.5F}, {0.0F, 1.0F}});
  // softmax: 1/4, 3/4; 4/5, 1/5
  const double expected = (-0.5 * std::log(0.25) - 0.5 * std::log(0.75) - std::log(0.2)) / 2;
  EXPECT_NEAR(soft_cross_entropy(logits, targets).item<double>(), expected, 1e-6);
}

TEST(Loss, GradientIsSoftmaxMinusTargets) {
  torch::manual_seed(1);
  const torch::Tensor logits = torch::randn({3, 5}).requires_grad_();
  const torch::Tensor targets = torch::softmax(torch::randn({3, 5}), 1);
  soft_cross_entropy(logits, targets).backward();
  EXPECT_TRUE(
      torch::allclose(logits.grad(), (torch::softmax(logits, 1) - targets) / 3, 1e-5, 1e-7));
}

TEST(Loss, HugeLogitsStayFinite) {
  const torch::Tensor logits = torch::tensor({{1e4F, -1e4F}});
  EXPECT_NEAR(soft_cross_entropy(logits, torch::tensor({{0.0F, 1.0F}})).item<double>(), 2e4, 1);
}

}  // namespace
}  // namespace nestvit::train

// Mixed precision: the loss scale against torch's, and steps against those in f32.
#include "train/optim/amp.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>

#include "train/network/tensors.h"
#include "train/tiny_recipe.h"

namespace nestvit::train {
namespace {

using testing::learn;
using testing::random_batch;
using testing::random_weights;
using testing::tiny;

TEST(LossScale, HalvesAndDoublesAsTorchs) {
  LossScale scale;
  EXPECT_EQ(scale.scale(), 65536);
  for (int i = 0; i < 1999; ++i) scale.good();
  EXPECT_EQ(scale.scale(), 65536);
  EXPECT_TRUE(scale.overflow());
  EXPECT_EQ(scale.scale(), 32768);
  for (int i = 0; i < 1999; ++i) scale.good();
  EXPECT_EQ(scale.scale(), 32768) << "the overflow starts the count anew";
  scale.good();
  EXPECT_EQ(scale.scale(), 65536);
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(scale.overflow());
  EXPECT_EQ(scale.scale(), 1);
  EXPECT_FALSE(scale.overflow()) << "the floor";
}

TEST(Amp, OverflowSkipsTheStepUntilTheFloor) {
  const Recipe r = tiny(2, {{"amp", "fp16"}});
  Learner learner(r);
  learner.start(random_weights(r));
  const TensorMap before = learner.model_tensors();
  Batch batch = random_batch(2, 1);
  batch.images[0] = INFINITY;
  const std::vector<float> targets = one_hot(batch.labels, 4);
  for (int i = 1; i <= 16; ++i) {
    learner.add(batch, targets, i);
    const auto done = learner.update(i, 0.1);
    ASSERT_TRUE(done && done->skipped);
    EXPECT_EQ(learner.loss_scale(), std::pow(2.0, 16 - i));
  }
  for (const auto& [name, tensor] : learner.model_tensors())
    EXPECT_EQ(tensor.to_f32(), before.at(name).to_f32()) << name;
  learner.add(batch, targets, 17);
  EXPECT_THROW(learner.update(17, 0.1), Error);
}

// A step in another precision points where the one in f32 does: cosine of the angle between the
// updates of plain SGD, which are the gradients.
class AmpStep : public ::testing::TestWithParam<std::pair<const char*, double>> {};

TEST_P(AmpStep, IsCloseToF32) {
  const auto [amp, epsilon] = GetParam();
  const auto moved = [](const char* precision) {
    const Recipe r = tiny(8, {{"optim", "sgd"}, {"weight_decay", "0"}, {"amp", precision}});
    Learner learner(r);
    const TensorMap start = random_weights(r);
    learner.start(start);
    learn(learner, {random_batch(8, 1)}, 1, 1);
    std::vector<torch::Tensor> all;
    for (const auto& [name, tensor] : learner.model_tensors())
      all.push_back((to_torch(tensor) - to_torch(start.at(name))).flatten());
    return torch::cat(all).to(torch::kFloat64);
  };
  const torch::Tensor exact = moved("none"), rounded = moved(amp);
  const double error = ((rounded - exact).norm() / exact.norm()).item<double>();
  // Each of about 30 products in a row rounds by half an epsilon, independently: sqrt(30) / 2.
  EXPECT_LT(error, std::sqrt(30) / 2 * epsilon * 4);
  EXPECT_GT(error, 0) << "autocast is on";
}
INSTANTIATE_TEST_SUITE_P(Types, AmpStep,
                         ::testing::Values(std::pair{"bf16", 1.0 / 128},
                                           std::pair{"fp16", 1.0 / 1024}),
                         [](const auto& c) { return c.param.first; });

}  // namespace
}  // namespace nestvit::train

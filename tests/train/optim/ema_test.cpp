// The running average of the weights against timm's formula.
#include "train/optim/ema.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/near_tensors.h"
#include "train/network/tensors.h"
#include "train/tiny_recipe.h"

namespace nestvit::train {
namespace {

using testing::learn;
using testing::random_batch;
using testing::random_weights;
using testing::tiny;

TEST(Ema, DecayIsTimms) {
  EXPECT_EQ(ema_decay({0.99, false}, 1), 0);
  EXPECT_EQ(ema_decay({0.99, false}, 2), 0.99);
  EXPECT_EQ(ema_decay({0.99, true}, 1), 0);
  EXPECT_DOUBLE_EQ(ema_decay({0.99, true}, 2), 1 - std::pow(2, -2.0 / 3));
  EXPECT_DOUBLE_EQ(ema_decay({0.99, true}, 8), 0.75);  // 8^(2/3) = 4
  EXPECT_EQ(ema_decay({0.99, true}, 2000), 0.99);
}

TEST(Ema, AverageFollowsTheWeightsAndIsWhatIsKept) {
  const Recipe plain = tiny(4, {{"nest.norm_type", "BN"}});
  const Recipe averaging =
      tiny(4, {{"nest.norm_type", "BN"}, {"model_ema", "true"}, {"model_ema_decay", "0.75"}});
  Learner raw(plain), averaged(averaging);
  raw.start(random_weights(plain));
  averaged.start(random_weights(plain));
  TensorMap expected;
  for (int64_t step = 1; step <= 4; ++step) {
    const Batch batch = random_batch(4, step);
    learn(raw, {batch}, step, 0.01);
    learn(averaged, {batch}, step, 0.01);
    for (const auto& [name, tensor] : raw.model_tensors()) {
      std::vector<float> values = tensor.to_f32();
      if (step > 1) {
        const std::vector<float> before = expected.at(name).to_f32();
        for (size_t i = 0; i < values.size(); ++i)
          values[i] = 0.75f * before[i] + 0.25f * values[i];
      }
      expected[name] = Tensor::f32(tensor.shape(), values);
    }
  }
  const TensorMap got = averaged.model_tensors(), state = averaged.state();
  for (const auto& [name, tensor] : expected) {
    // running_mean and running_var among them
    testing::expect_near(to_torch(got.at(name)), to_torch(tensor), 1e-6, name, 1e-7);
    EXPECT_EQ(state.at("raw." + name).to_f32(), raw.model_tensors().at(name).to_f32()) << name;
  }
}

}  // namespace
}  // namespace nestvit::train

// What happens to the weights in a step: accumulation, the running average, mixed precision, and
// layers that are computed twice.
#include "train/learner.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>

#include "image/augment/mix.h"
#include "support/near_tensors.h"
#include "train/learner_fixture.h"
#include "train/network/nest.h"
#include "train/network/tensors.h"
#include "train/optim/ema.h"
#include "train/optim/loss.h"
#include "weights/model_dir.h"

namespace nestvit::train {
namespace {

using testing::random_batch;
using testing::random_weights;
using testing::tiny;

Batch joined(const Batch& a, const Batch& b) {
  Batch both = a;
  both.size += b.size;
  both.images.insert(both.images.end(), b.images.begin(), b.images.end());
  both.labels.insert(both.labels.end(), b.labels.begin(), b.labels.end());
  return both;
}

void learn(Learner& learner, const std::vector<Batch>& parts, int64_t step, double rate) {
  int64_t number = (step - 1) * static_cast<int64_t>(parts.size());
  for (const Batch& part : parts) learner.add(part, one_hot(part.labels, 4), ++number);
  learner.update(step, rate);
}

TEST(Accumulation, IsTheStepOfOneLargeBatch) {
  const Recipe whole = tiny(8, {{"optim", "sgd"}});
  const Recipe halves = tiny(4, {{"optim", "sgd"}, {"grad_accum_steps", "2"}});
  Learner one(whole), two(halves);
  one.start(random_weights(whole));
  two.start(random_weights(whole));
  for (int64_t step = 1; step <= 3; ++step) {
    const Batch a = random_batch(4, 2 * step), b = random_batch(4, 2 * step + 1);
    learn(one, {joined(a, b)}, step, 0.1);
    learn(two, {a, b}, step, 0.1);
  }
  const TensorMap expected = one.model_tensors(), got = two.model_tensors();
  for (const auto& [name, tensor] : expected)  // the same sums in another order, three times
    testing::expect_close(to_torch(got.at(name)), to_torch(tensor), 1e-5, name, 1e-7);
}

// Images that were left out do not count: the mean is over those that are there.
TEST(Accumulation, AveragesOverTheImagesThatAreThere) {
  const Recipe whole = tiny(6, {{"optim", "sgd"}});
  const Recipe gaps = tiny(4, {{"optim", "sgd"}, {"grad_accum_steps", "3"}});
  Learner one(whole), three(gaps);
  one.start(random_weights(whole));
  three.start(random_weights(whole));
  const Batch a = random_batch(4, 1), b = random_batch(2, 2);
  one.add(joined(a, b), one_hot(joined(a, b).labels, 4), 1);
  three.add(a, one_hot(a.labels, 4), 1);
  three.add(b, one_hot(b.labels, 4), 2);  // and a third of which nothing could be read
  const auto expected = one.update(1, 0.1), got = three.update(1, 0.1);
  ASSERT_TRUE(expected && got);
  EXPECT_EQ(got->images, 6);
  EXPECT_NEAR(got->loss, expected->loss, 1e-5);
  EXPECT_NEAR(got->gradient_norm, expected->gradient_norm, 1e-5 * expected->gradient_norm);
  EXPECT_FALSE(three.update(2, 0.1)) << "no image at all";
}

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
    testing::expect_close(to_torch(got.at(name)), to_torch(tensor), 1e-6, name, 1e-7);
    EXPECT_EQ(state.at("raw." + name).to_f32(), raw.model_tensors().at(name).to_f32()) << name;
  }
}

TEST(Learner, StateOfEveryKindReturns) {
  const Recipe r = tiny(4, {{"model_ema", "true"}, {"amp", "fp16"}});
  Learner first(r);
  first.start(random_weights(r));
  learn(first, {random_batch(4, 1)}, 1, 0.01);
  Learner second(r);
  second.resume(first.model_tensors(), first.state());
  for (Learner* learner : {&first, &second}) learn(*learner, {random_batch(4, 2)}, 2, 0.01);
  EXPECT_EQ(first.loss_scale(), second.loss_scale());
  const TensorMap a = first.model_tensors(), b = second.model_tensors();
  for (const auto& [name, tensor] : a) EXPECT_EQ(tensor.to_f32(), b.at(name).to_f32()) << name;
  TensorMap damaged = first.state();
  damaged.erase("loss_scale");
  EXPECT_THROW(second.resume(first.model_tensors(), damaged), Error);
}

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
class AmpStep : public ::testing::TestWithParam<std::pair<std::string, double>> {};

TEST_P(AmpStep, IsCloseToF32) {
  const auto [amp, epsilon] = GetParam();
  const auto moved = [](const std::string& precision) {
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

// ---- gradient checkpointing ----

// Bytes that torch's CPU allocator has given out, and the most at any time.
class Allocated : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    now_ += size;
    most_ = std::max(most_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t most() const { return most_; }

 private:
  int64_t now_ = 0, most_ = 0;
};

struct Pass {
  TensorMap tensors, gradients;  // after it
  int64_t peak_bytes;
};

Pass forward_backward(const NestConfig& config, const TensorMap& weights, const torch::Tensor& x,
                      bool checkpointing, Amp amp = Amp::kNone) {
  Nest net(config);
  load_tensors(*net, weights);
  net->train();
  net->set_grad_checkpointing(checkpointing);
  torch::manual_seed(5);
  auto allocated = std::make_shared<Allocated>();
  {
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, allocated);
    torch::Tensor y;
    {
      const Autocast autocast(amp);
      y = net->forward(x).to(torch::kFloat32);
    }
    (y * torch::linspace(-1, 1, y.numel()).view_as(y)).sum().backward();
  }
  // What is drawn next must not depend on it either.
  Pass pass{export_tensors(*net), {{"next", from_torch(torch::rand({4}))}}, allocated->most()};
  for (const auto& item : net->named_parameters())
    pass.gradients[item.key()] = from_torch(item.value().grad());
  return pass;
}

void expect_same(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_EQ(tensor.to_f32(), b.at(name).to_f32()) << name;
}

class GradCheckpointing : public ::testing::TestWithParam<std::string> {};

TEST_P(GradCheckpointing, ChangesNoBit) {
  Recipe r = tiny(4, {{"nest.norm_type", GetParam()},
                      {"nest.stochastic_depth_drop", "0.5"},
                      {"nest.proj_drop", "0.1"},
                      {"nest.embedding_dim", "32"}});
  const TensorMap weights = random_weights(r);
  torch::manual_seed(2);
  const torch::Tensor x = torch::randn({4, 3, 8, 8});
  for (const Amp amp : {Amp::kNone, Amp::kBf16}) {
    const Pass plain = forward_backward(r.nest, weights, x, false, amp);
    const Pass twice = forward_backward(r.nest, weights, x, true, amp);
    expect_same(twice.gradients, plain.gradients);
    expect_same(twice.tensors, plain.tensors);  // running statistics count a batch once
  }
}
INSTANTIATE_TEST_SUITE_P(Norms, GradCheckpointing, ::testing::Values("LN", "BN", "GN"),
                         [](const auto& c) { return c.param; });

TEST(GradCheckpointing, KeepsLayersInputsOnly) {
  Recipe r = tiny(4, {{"nest.num_layers_per_block", "[8, 1]"}});
  const TensorMap weights = random_weights(r);
  const torch::Tensor x = torch::ones({32, 3, 8, 8});
  const int64_t plain = forward_backward(r.nest, weights, x, false).peak_bytes;
  const int64_t twice = forward_backward(r.nest, weights, x, true).peak_bytes;
  // A layer keeps more than ten arrays of its input's size: qkv, attention's output, the MLP's
  // hidden layer before and after GELU, norms. With eight layers at least half of the peak goes.
  EXPECT_LT(twice, plain / 2);
}

}  // namespace
}  // namespace nestvit::train

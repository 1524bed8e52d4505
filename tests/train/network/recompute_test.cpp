// Layers that are computed again in the backward: the same bits, less memory.
#include "train/network/recompute.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "train/network/nest.h"
#include "train/network/tensors.h"
#include "train/optim/amp.h"
#include "train/tiny_recipe.h"

namespace nestvit::train {
namespace {

using testing::random_weights;
using testing::tiny;

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

class GradCheckpointing : public ::testing::TestWithParam<const char*> {};

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
                         [](const auto& c) { return std::string(c.param); });

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

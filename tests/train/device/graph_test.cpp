// A learner whose forward and backward run as a graph takes the same steps as one without. The
// stand-in for a CUDA graph does the work again and leaves its results where the first ones were.
#include "train/device/graph.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "image/augment/mix.h"
#include "train/device/device.h"
#include "train/network/tensors.h"
#include "train/tiny_recipe.h"

namespace nestvit::train {
namespace {

using testing::random_batch;
using testing::random_weights;
using testing::tiny;

struct Counts {
  int made = 0, runs = 0;
};

class InPlace : public Graph {
 public:
  InPlace(Work work, Counts& counts) : work_(std::move(work)), counts_(counts) { ++counts_.made; }
  const std::vector<torch::Tensor>& run() override {
    ++counts_.runs;
    const std::vector<torch::Tensor> fresh = work_();
    if (results_.empty()) {
      for (const torch::Tensor& x : fresh) results_.push_back(x.clone());
    } else {
      const torch::NoGradGuard no_grad;
      for (size_t i = 0; i < fresh.size(); ++i) results_[i].copy_(fresh[i]);
    }
    return results_;
  }

 private:
  Work work_;
  Counts& counts_;
  std::vector<torch::Tensor> results_;
};

// Everything that draws, accumulates, scales, averages or is frozen.
Recipe everything() {
  Recipe recipe = tiny(4, {{"grad_accum_steps", "3"},
                           {"nest.stochastic_depth_drop", "0.5"},
                           {"model_ema", "true"},
                           {"model_ema_decay", "0.9"},
                           {"grad_clip_max_norm", "0.5"}});
  recipe.freeze = {"patch_embed"};
  return recipe;
}

// Steps of three batches, of which the last is not whole at the end of an "epoch".
TensorMap trained(const Recipe& recipe, const MakeGraph& make_graph, std::vector<double>& losses) {
  Learner learner(recipe, torch::kCPU, Group::alone(), make_graph);
  learner.start(random_weights(recipe));
  int64_t number = 0;
  for (int64_t step = 1; step <= 6; ++step) {
    for (int part = 0; part < 3; ++part) {
      const Batch batch = random_batch(step % 3 == 0 && part == 2 ? 2 : 4, ++number);
      learner.add(batch, one_hot(batch.labels, 4), number, part == 2);
    }
    losses.push_back(learner.update(step, 0.01)->loss);
  }
  TensorMap all = learner.model_tensors();
  for (auto& [name, tensor] : learner.state()) all["state." + name] = std::move(tensor);
  return all;
}

TEST(BatchGraph, TakesTheSameStepsToTheBit) {
  const Recipe recipe = everything();
  Counts counts;
  const MakeGraph in_place = [&](Work work, const torch::Device&) {
    return std::make_unique<InPlace>(std::move(work), counts);
  };
  std::vector<double> expected_losses, losses;
  const TensorMap expected = trained(recipe, nullptr, expected_losses);
  const TensorMap got = trained(recipe, in_place, losses);
  EXPECT_EQ(counts.made, 1);
  EXPECT_EQ(counts.runs, 6 * 3 - 2) << "batches of another size do not run as the graph";
  EXPECT_EQ(losses, expected_losses);
  EXPECT_NE(losses.front(), losses.back());
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [name, tensor] : expected)
    EXPECT_TRUE(torch::equal(to_torch(got.at(name)), to_torch(tensor))) << name;
}

void expect_refused(const Recipe& recipe, const std::string& device, const Group& group,
                    const std::string& word) {
  try {
    check_cuda_graph(recipe, device, group);
    ADD_FAILURE() << "no error about " << word;
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

TEST(CudaGraph, IsRefusedWhereNothingCanBeRecorded) {
  expect_refused(tiny(4), "cpu", Group::alone(), "the device is cpu");
  EXPECT_NO_THROW(check_cuda_graph(tiny(4), "cuda:1", Group::alone()));
  expect_refused(tiny(4, {{"grad_checkpointing", "true"}}), "cuda:1", Group::alone(),
                 "grad_checkpointing");
  const Group exchanging(Launch(), {.backend = Backend::kGloo});
  expect_refused(tiny(4), "cuda:1", exchanging, "exchanges gradients");
}

}  // namespace
}  // namespace nestvit::train

// The network, its optimiser and its running average in training, and the effect of a batch on
// them.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "data/loader.h"
#include "run/recipe/recipe.h"
#include "train/device/graph.h"
#include "train/group/gradient_reducer.h"
#include "train/network/network.h"
#include "train/optim/amp.h"
#include "train/optim/optim.h"

namespace nestvit::train {

class Learner {
 public:
  // `recipe` is resolved; tensors lie on `device` (device.h). Parameters are uninitialised until
  // start() or resume().
  // `make_graph`: if set, forward and backward of whole batches run as a graph; only in a group
  // that exchanges nothing.
  explicit Learner(const Recipe& recipe, const torch::Device& device = torch::kCPU,
                   const Group& group = Group::alone(), const MakeGraph& make_graph = nullptr);
  Learner(const Learner&) = delete;  // the graph's work refers to this one
  Learner& operator=(const Learner&) = delete;

  void start(const TensorMap& weights);
  // From the results of model_tensors() and state(). Throws Error when they do not fit.
  void resume(const TensorMap& model, TensorMap state);
  // A collective call: every process of the group then holds rank 0's state.
  void broadcast_state();

  // Forward and backward: adds the batch's gradient to those of the step. `targets` [B, K]; `draw`
  // seeds drop-path and dropout: the batch's number in the run. `last`: no other batch of the step
  // follows in this process.
  void add(const Batch& batch, const std::vector<float>& targets, int64_t draw, bool last = true);
  // Instead of the last add() of a step whose last batch has no images in this process.
  void backward_without_images() { reducer_.backward({}, /*last=*/true); }

  struct Update {
    double loss;           // mean over the images of the step
    double gradient_norm;  // global, before clipping
    int64_t images;
    int64_t correct;  // images whose strongest answer is the strongest of their targets
    bool skipped;     // the gradients overflowed in fp16: only the loss scale has changed
  };
  // The optimiser's step `step` (from 1), by the mean gradient of all images since the last one, of
  // all processes: a collective call. Returns nothing when there were no images. Throws Error when
  // the loss or the gradient is not finite.
  // `stop`: this process was asked to stop. It travels with the step's sums, since an exchange of
  // its own would cost a round through all processes.
  std::optional<Update> update(int64_t step, double learning_rate, bool stop = false);
  // Whether the last update() found a process that was asked to stop.
  bool anyone_stops() const { return anyone_stops_; }

  // A collective call before an evaluation and a checkpoint: each process gathers running
  // statistics from its own batches, and they become their mean. The reference keeps the first
  // device's (reference.md A.4).
  void average_statistics();
  // The network to evaluate and to save: the running average when the recipe asks for one.
  Network& ema_or_net() { return averaged_ ? *averaged_ : *net_; }
  TensorMap model_tensors() const;  // of ema_or_net()
  // Everything else that a resumed run needs: the optimiser's state, the loss scale, and with EMA
  // the weights in training as "raw.NAME".
  TensorMap state() const;

  const Optimizer& optimizer() const { return optimizer_; }
  double loss_scale() const { return scale_ ? scale_->scale() : 1; }

 private:
  // Sums over the images since the last update. The tensors stay on the device until the step ends,
  // since reading one waits for everything that the device has yet to do.
  struct Sums {
    int64_t images = 0;
    torch::Tensor loss, correct;  // f64 [], i64 []
  };

  // images [B, channels, S, S], targets [B, K] -> logits [B, K] in f32 and the loss [].
  std::pair<torch::Tensor, torch::Tensor> forward(const torch::Tensor& images,
                                                  const torch::Tensor& targets);
  std::vector<torch::Tensor> tensors();

  const Recipe& recipe_;
  torch::Device device_;
  const Group& group_;
  std::shared_ptr<Network> net_;
  std::shared_ptr<Network> averaged_;  // null without EMA
  Optimizer optimizer_;
  GradientReducer reducer_;
  std::optional<LossScale> scale_;  // fp16
  std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules_;
  std::unique_ptr<BatchGraph> graph_;  // null: every batch runs operation by operation
  Sums sums_;
  bool anyone_stops_ = false;
};

}  // namespace nestvit::train

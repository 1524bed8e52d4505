// The network and its optimiser in training: what one batch does to them.
#pragma once

#include <memory>
#include <vector>

#include "data/loader.h"
#include "train/network.h"
#include "train/optim.h"
#include "train/recipe.h"

namespace nestvit::train {

class Learner {
 public:
  // Of a resolved recipe. Parameters are uninitialised until load().
  explicit Learner(const Recipe& recipe);

  struct Update {
    double loss;           // mean over the batch
    double gradient_norm;  // global, before clipping
    int64_t correct;       // images whose strongest answer is the strongest of their targets
  };
  // Forward, backward, optimiser. `targets` [B, K]; `step` (from 1) seeds drop-path and dropout.
  // Throws Error when the loss or the gradient is no number.
  Update update(const Batch& batch, const std::vector<float>& targets, int64_t step,
                double learning_rate);

  Network& net() { return *net_; }
  Optimizer& optimizer() { return optimizer_; }
  const Optimizer& optimizer() const { return optimizer_; }

 private:
  const Recipe& recipe_;
  std::shared_ptr<Network> net_;
  Optimizer optimizer_;
  std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules_;
};

}  // namespace nestvit::train

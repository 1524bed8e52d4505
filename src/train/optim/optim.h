// The reference's optimisers (flax.optim 0.3.4), global-norm clipping, and the L2 loss term;
// reference.md F.1, F.2.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "run/recipe/freeze.h"
#include "run/recipe/recipe.h"
#include "train/torch.h"
#include "weights/tensor.h"

namespace nestvit::train {

class Optimizer {
 public:
  // By the keys of `recipe` from optim to grad_clip_max_norm, freeze and layer_decay. Frozen
  // parameters get no gradient from now on, and neither update, decay nor state.
  Optimizer(torch::nn::Module& module, const Architecture& model, const Recipe& recipe);

  // 0.5 * weight_decay * sum ||p||^2 over parameters of more than one dimension in the official
  // layout; a zero scalar for adamw, which decays in step() instead.
  torch::Tensor l2_term() const;

  // Multiplies the gradients by `factor`, clips, updates and clears them. Returns the global
  // gradient norm before clipping; when it is not finite, nothing is updated. A parameter without a
  // gradient counts as one with a gradient of 0, as in the reference.
  double step(double learning_rate, double factor = 1);

  // By share, largest first, and what decays before what does not.
  std::vector<ParameterGroup> groups() const;

  // The trained parameters, in the order of the parameter table.
  std::vector<torch::Tensor> parameters() const;
  std::vector<torch::Tensor> moments() const;
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  // Moments by "NAME.exp_avg" / "NAME.exp_avg_sq" / "NAME.momentum_buffer", and "step" (int64
  // scalar).
  TensorMap state() const;
  void load_state(const TensorMap& state);  // throws Error when it does not fit

 private:
  // One trained parameter.
  struct Entry {
    std::string name;
    torch::Tensor value;
    bool decayed;  // by step() (adamw, adam)
    bool in_l2;    // by l2_term() (adam, sgd)
    double share;  // of the learning rate
    // Moments: exp_avg and exp_avg_sq, or momentum_buffer and nothing.
    torch::Tensor first, second;
  };

  bool adaptive() const { return recipe_.optim != Optim::kSgd; }
  void update_adam(const std::vector<torch::Tensor>& gradients, double learning_rate);
  void update_sgd(const std::vector<torch::Tensor>& gradients, double learning_rate);
  void scale(const std::vector<torch::Tensor>& update) const;
  void clear_gradients();

  std::vector<Entry> entries_;
  Recipe recipe_;
  int64_t steps_ = 0;
};

}  // namespace nestvit::train

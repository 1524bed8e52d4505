// One update, from images and soft labels to new weights.
#include "train/learner.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <cmath>

#include "base/random.h"
#include "train/bridge.h"
#include "train/loss.h"
#include "train/param_groups.h"

namespace nestvit::train {
namespace {

OptimConfig optim_config(const Recipe& r) {
  OptimConfig config;
  config.optim = r.optim;
  config.weight_decay = r.weight_decay;
  config.wd_ignore = r.optim_wd_ignore;
  config.sgd_momentum = r.sgd_momentum;
  config.grad_clip_max_norm = r.grad_clip_max_norm;
  config.freeze = r.freeze;
  config.layer_decay = r.layer_decay;
  return config;
}

// Modules that stay in evaluation mode, since their weights are frozen: their drop-path is off and
// their running statistics rest.
std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules(
    const Network& net, const std::vector<std::string>& freeze) {
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  for (const auto& item : net.named_modules(/*name_prefix=*/"", /*include_self=*/false))
    if (frozen(item.key(), freeze)) modules.push_back(item.value());
  return modules;
}

}  // namespace

Learner::Learner(const Recipe& recipe)
    : recipe_(recipe),
      net_(make_network(network(recipe))),
      optimizer_(*net_, network(recipe), optim_config(recipe)),
      frozen_modules_(frozen_modules(*net_, recipe.freeze)) {}

Learner::Update Learner::update(const Batch& batch, const std::vector<float>& soft, int64_t step,
                                double learning_rate) {
  Rng rng(static_cast<uint64_t>(recipe_.seed), Purpose::kDropPath, static_cast<uint64_t>(step));
  torch::manual_seed(rng.next_u32());
  net_->train();
  for (const auto& module : frozen_modules_) module->eval();
  const torch::Tensor targets = torch::tensor(soft).view({batch.size, -1});  // [B, K]
  const torch::Tensor logits = net_->forward(images_tensor(batch));          // [B, K]
  const torch::Tensor loss = soft_cross_entropy(logits, targets) + optimizer_.l2_term();
  loss.backward();
  const double value = loss.item<double>();
  const double norm = optimizer_.step(learning_rate);
  if (!std::isfinite(value) || !std::isfinite(norm))
    throw Error(fmt::format("the loss is {} and the gradient norm {} at step {} (learning rate "
                            "{:.3g})",
                            value, norm, step, learning_rate),
                "lower the learning rate or lengthen the warm-up; checkpoints written so far are "
                "good");
  return {value, norm, (logits.detach().argmax(1) == targets.argmax(1)).sum().item<int64_t>()};
}

}  // namespace nestvit::train

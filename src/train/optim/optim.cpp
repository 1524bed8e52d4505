// The reference's optimisers (flax.optim 0.3.4), global-norm clipping, and the L2 loss term;
// reference.md F.1, F.2.
#include "train/optim/optim.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "run/recipe/freeze.h"
#include "train/network/tensors.h"
#include "train/optim/adam.h"

namespace nestvit::train {
namespace {

// Whether the official array has more than one dimension: the attention biases are [H, D] there,
// GroupNorm's [1, 1, 1, C].
bool official_matrix(const Param& param) {
  switch (param.layout) {
    case FlaxLayout::kQueryBias:
    case FlaxLayout::kQkvBias:
    case FlaxLayout::kGroupNorm:
      return true;
    default:
      return param.shape.size() > 1;
  }
}

// Biases and norms, which timm's param_groups_weight_decay does not decay.
bool flat(const Param& param) { return param.shape.size() <= 1 || param.name.ends_with(".bias"); }

}  // namespace

Optimizer::Optimizer(torch::nn::Module& module, const Architecture& model, const Recipe& recipe)
    : recipe_(recipe) {
  const auto parameters = module.named_parameters();
  size_t known = 0;
  const std::vector<Param> table = parameter_table(model);
  for (const Param& param : table) {
    if (param.buffer) continue;
    const torch::Tensor* value = parameters.find(param.name);
    NESTVIT_CHECK(value != nullptr);
    ++known;
    if (frozen(param.name, recipe.freeze)) {
      torch::Tensor(*value).set_requires_grad(false);
      continue;
    }
    const bool any = recipe.weight_decay > 0 && !(recipe.weight_decay_exclude_1d && flat(param));
    const bool decay = any && adaptive() && nestvit::decayed(param, recipe.optim_wd_ignore);
    const bool l2 = any && recipe.optim != Optim::kAdamW && official_matrix(param);
    entries_.push_back({param.name, *value, decay, l2,
                        learning_rate_share(param, table.back().layer, recipe.layer_decay),
                        torch::zeros_like(*value),
                        adaptive() ? torch::zeros_like(*value) : torch::Tensor()});
  }
  NESTVIT_CHECK(known == parameters.size() && !entries_.empty());
}

torch::Tensor Optimizer::l2_term() const {
  torch::Tensor sum = torch::zeros({}, entries_.front().value.options());
  for (const Entry& entry : entries_)
    if (entry.in_l2) sum = sum + entry.value.square().sum();
  return sum * (0.5 * recipe_.weight_decay);
}

double Optimizer::step(double learning_rate, double factor) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients;
  for (Entry& entry : entries_) {
    const torch::Tensor& gradient = entry.value.grad();
    gradients.push_back(gradient.defined() ? gradient : torch::zeros_like(entry.value));
  }
  if (factor != 1) at::_foreach_mul_(gradients, factor);
  const double norm =
      torch::stack(at::_foreach_norm(gradients)).to(torch::kFloat64).norm().item<double>();
  if (!std::isfinite(norm)) {
    clear_gradients();
    return norm;
  }
  if (recipe_.grad_clip_max_norm > 0)
    at::_foreach_mul_(gradients, std::min(1.0, recipe_.grad_clip_max_norm / (norm + 1e-6)));

  ++steps_;
  if (adaptive()) {
    update_adam(gradients, learning_rate);
  } else {
    update_sgd(gradients, learning_rate);
  }
  clear_gradients();
  return norm;
}

void Optimizer::clear_gradients() {
  for (Entry& entry : entries_) entry.value.mutable_grad() = torch::Tensor();
}

void Optimizer::update_adam(const std::vector<torch::Tensor>& gradients, double learning_rate) {
  std::vector<AdamParameter> parameters;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const double rate = learning_rate * entry.share;
    parameters.push_back({entry.value, gradients[i], entry.first, entry.second, rate,
                          entry.decayed ? rate * recipe_.weight_decay : 0});
  }
  const double beta1 = recipe_.opt_betas.at(0), beta2 = recipe_.opt_betas.at(1);
  adam_update(adam_kernel(parameters),
              {beta1, beta2, recipe_.opt_eps, adam_correction(beta1, steps_),
               adam_correction(beta2, steps_)},
              steps_, parameters);
}

// Each update by its layer's share of the learning rate.
void Optimizer::scale(const std::vector<torch::Tensor>& update) const {
  for (size_t i = 0; i < update.size(); ++i)
    if (entries_[i].share != 1) update[i].mul_(entries_[i].share);
}

// buf <- beta*buf + g; p <- p - lr*(g + beta*buf)
void Optimizer::update_sgd(const std::vector<torch::Tensor>& gradients, double learning_rate) {
  std::vector<torch::Tensor> values, buffers;
  for (const Entry& entry : entries_) {
    values.push_back(entry.value);
    buffers.push_back(entry.first);
  }
  at::_foreach_mul_(buffers, recipe_.sgd_momentum);
  at::_foreach_add_(buffers, gradients);
  const auto update = at::_foreach_mul(gradients, learning_rate);
  at::_foreach_add_(update, buffers, learning_rate * recipe_.sgd_momentum);
  scale(update);
  at::_foreach_sub_(values, update);
}

std::vector<ParameterGroup> Optimizer::groups() const {
  std::map<std::pair<double, bool>, ParameterGroup, std::greater<>> groups;
  for (const Entry& entry : entries_) {
    const bool decayed = entry.decayed || entry.in_l2;
    ParameterGroup& group =
        groups.try_emplace({entry.share, decayed}, ParameterGroup{decayed, 0, 0, entry.share})
            .first->second;
    group.tensors += 1;
    group.values += entry.value.numel();
  }
  std::vector<ParameterGroup> list;
  for (const auto& [_, group] : groups) list.push_back(group);
  return list;
}

std::vector<torch::Tensor> Optimizer::parameters() const {
  std::vector<torch::Tensor> all;
  for (const Entry& entry : entries_) all.push_back(entry.value);
  return all;
}

std::vector<torch::Tensor> Optimizer::moments() const {
  std::vector<torch::Tensor> all;
  for (const Entry& entry : entries_) {
    all.push_back(entry.first);
    if (adaptive()) all.push_back(entry.second);
  }
  return all;
}

TensorMap Optimizer::state() const {
  TensorMap state;
  state["step"] = Tensor::i64({}, {steps_});
  for (const Entry& entry : entries_) {
    state[entry.name + (adaptive() ? ".exp_avg" : ".momentum_buffer")] = from_torch(entry.first);
    if (adaptive()) state[entry.name + ".exp_avg_sq"] = from_torch(entry.second);
  }
  return state;
}

void Optimizer::load_state(const TensorMap& state) {
  const std::string hint =
      "it belongs to another model or optimiser: resume with the run's own recipe";
  const Tensor& step = find_tensor(state, "step", "the optimiser state");
  if (step.dtype() != DType::kI64 || step.size() != 1 || step.as<int64_t>()[0] < 0)
    throw Error("the optimiser state's step is not one non-negative integer", hint);

  // All copies are checked before the first is made.
  std::vector<std::pair<torch::Tensor, const Tensor*>> copies;
  const auto match = [&](const std::string& name, const torch::Tensor& target) {
    const Tensor& source = find_tensor(state, name, "the optimiser state");
    if (source.shape() != target.sizes().vec())
      throw Error(fmt::format("the optimiser state's {} has shape {}, the model needs {}", name,
                              shape_text(source.shape()), shape_text(target.sizes().vec())),
                  hint);
    copies.emplace_back(target, &source);
  };
  for (const Entry& entry : entries_) {
    match(entry.name + (adaptive() ? ".exp_avg" : ".momentum_buffer"), entry.first);
    if (adaptive()) match(entry.name + ".exp_avg_sq", entry.second);
  }
  if (state.size() != copies.size() + 1)
    throw Error(fmt::format("the optimiser state holds {} tensors, the model needs {}",
                            state.size(), copies.size() + 1),
                hint);
  for (auto& [target, source] : copies) target.copy_(to_torch(*source));
  steps_ = step.as<int64_t>()[0];
}

}  // namespace nestvit::train

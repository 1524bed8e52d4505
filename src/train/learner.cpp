// From images and soft labels to gradients, and from gradients to new weights.
#include "train/learner.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <cmath>
#include <utility>

#include "base/random.h"
#include "train/bridge.h"
#include "train/device.h"
#include "train/ema.h"
#include "train/loss.h"
#include "train/param_groups.h"

namespace nestvit::train {
namespace {

OptimConfig optim_config(const Recipe& r) {
  OptimConfig config;
  config.optim = r.optim;
  config.weight_decay = r.weight_decay;
  config.wd_ignore = r.optim_wd_ignore;
  config.exclude_1d = r.weight_decay_exclude_1d;
  config.eps = r.opt_eps;
  config.beta1 = r.opt_betas.at(0);
  config.beta2 = r.opt_betas.at(1);
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

std::shared_ptr<Network> network_on(const torch::Device& device, const Recipe& recipe) {
  std::shared_ptr<Network> net = make_network(network(recipe));
  net->to(device);
  return net;
}

constexpr const char* kRaw = "raw.";
constexpr const char* kLossScale = "loss_scale";

// The state's entries whose name begins with `prefix`, without it; removes them.
TensorMap take(TensorMap& state, const std::string& prefix) {
  TensorMap taken;
  for (auto it = state.lower_bound(prefix); it != state.end() && it->first.starts_with(prefix);
       it = state.erase(it))
    taken[it->first.substr(prefix.size())] = std::move(it->second);
  return taken;
}

}  // namespace

Learner::Learner(const Recipe& recipe, const torch::Device& device)
    : recipe_(recipe),
      device_(device),
      net_(network_on(device, recipe)),
      optimizer_(*net_, network(recipe), optim_config(recipe)),
      frozen_modules_(frozen_modules(*net_, recipe.freeze)) {
  net_->set_grad_checkpointing(recipe.grad_checkpointing);
  if (recipe.amp == Amp::kFp16) scale_.emplace();
  if (!recipe.model_ema) return;
  averaged_ = network_on(device, recipe);
  for (torch::Tensor& p : averaged_->parameters()) p.set_requires_grad(false);
}

void Learner::start(const TensorMap& weights) {
  load_tensors(*net_, weights);
  if (averaged_) load_tensors(*averaged_, weights);
}

void Learner::resume(const TensorMap& model, TensorMap state) {
  const TensorMap raw = take(state, kRaw);
  load_tensors(*net_, averaged_ ? raw : model);
  if (averaged_) load_tensors(*averaged_, model);
  if (scale_) {
    const auto values = find_tensor(state, kLossScale, "the training state").to_f32();
    if (values.size() != 2 || !(values[0] >= LossScale::kFloor) || !(values[1] >= 0))
      throw Error("the training state's loss_scale is damaged",
                  "resume from another checkpoint of the run");
    scale_->restore(values[0], static_cast<int64_t>(values[1]));
    state.erase(kLossScale);
  }
  optimizer_.load_state(state);
}

TensorMap Learner::model_tensors() const { return export_tensors(averaged_ ? *averaged_ : *net_); }

TensorMap Learner::state() const {
  TensorMap state = optimizer_.state();
  if (averaged_)
    for (auto& [name, tensor] : export_tensors(*net_)) state[kRaw + name] = std::move(tensor);
  if (scale_)  // both are whole and below 2^24 for any run: exact in f32
    state[kLossScale] = Tensor::f32(
        {2}, {static_cast<float>(scale_->scale()), static_cast<float>(scale_->good_steps())});
  return state;
}

void Learner::add(const Batch& batch, const std::vector<float>& soft, int64_t draw) {
  Rng rng(static_cast<uint64_t>(recipe_.seed), Purpose::kDropPath, static_cast<uint64_t>(draw));
  torch::manual_seed(rng.next_u32());
  net_->train();
  for (const auto& module : frozen_modules_) module->eval();
  const torch::Tensor targets =
      moved(torch::tensor(soft).view({batch.size, -1}), device_);  // [B, K]
  torch::Tensor logits;                                            // [B, K]
  {
    const Autocast autocast(recipe_.amp, device_.type());
    logits = net_->forward(moved(images_tensor(batch), device_)).to(torch::kFloat32);
  }
  const torch::Tensor loss = soft_cross_entropy(logits, targets) + optimizer_.l2_term();
  // Its share of a step without gaps; update() corrects for images that were left out.
  const double share = static_cast<double>(batch.size) / static_cast<double>(step_images(recipe_));
  (loss * (share * loss_scale())).backward();
  const auto add_to = [&](torch::Tensor& sum, const torch::Tensor& value) {
    sum = sums_.images > 0 ? sum + value : value;
  };
  add_to(sums_.correct, (logits.detach().argmax(1) == targets.argmax(1)).sum());
  add_to(sums_.loss, loss.detach().to(torch::kFloat64) * static_cast<double>(batch.size));
  sums_.images += batch.size;
}

std::optional<Learner::Update> Learner::update(int64_t step, double learning_rate) {
  const Sums sums = std::exchange(sums_, {});
  if (sums.images == 0) return std::nullopt;
  const auto images = static_cast<double>(sums.images);
  const double norm = optimizer_.step(
      learning_rate, static_cast<double>(step_images(recipe_)) / images / loss_scale());
  const double loss = sums.loss.item<double>() / images;
  const bool finite = std::isfinite(loss) && std::isfinite(norm);
  if (scale_ && finite) scale_->good();
  const bool skipped = !finite && scale_ && scale_->overflow();
  if (!finite && !skipped)
    throw Error(fmt::format("the loss is {} and the gradient norm {} at step {} (learning rate "
                            "{:.3g})",
                            loss, norm, step, learning_rate),
                "lower the learning rate or lengthen the warm-up; checkpoints written so far are "
                "good");
  if (averaged_ && !skipped)
    ema_update(*averaged_, *net_,
               ema_decay({recipe_.model_ema_decay, recipe_.model_ema_warmup}, step));
  return Update{loss, norm, sums.images, sums.correct.item<int64_t>(), skipped};
}

}  // namespace nestvit::train

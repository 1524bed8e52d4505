// From images and soft labels to gradients, and from gradients to new weights.
#include "train/learner.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <array>
#include <cmath>
#include <tuple>
#include <utility>

#include "base/random.h"
#include "run/recipe/freeze.h"
#include "run/recipe/plan.h"
#include "run/recipe/resolve.h"
#include "train/device/device.h"
#include "train/network/tensors.h"
#include "train/optim/ema.h"
#include "train/optim/loss.h"

namespace nestvit::train {
namespace {

// Modules with frozen weights stay in evaluation mode: no drop-path, no change of running
// statistics.
std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules(
    const Network& net, const std::vector<std::string>& freeze) {
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  for (const auto& item : net.named_modules(/*name_prefix=*/"", /*include_self=*/false))
    if (frozen(item.key(), freeze)) modules.push_back(item.value());
  return modules;
}

std::shared_ptr<Network> network_on(const torch::Device& device, const Recipe& recipe,
                                    const Group* batch_norm_group = nullptr) {
  std::shared_ptr<Network> net = make_network(architecture_of(recipe), batch_norm_group);
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

Learner::Learner(const Recipe& recipe, const torch::Device& device, const Group& group,
                 const MakeGraph& make_graph)
    : recipe_(recipe),
      device_(device),
      group_(group),
      net_(network_on(device, recipe, recipe.sync_bn && group.world_size() > 1 ? &group : nullptr)),
      optimizer_(*net_, architecture_of(recipe), recipe),
      reducer_(group, optimizer_.parameters()),
      frozen_modules_(frozen_modules(*net_, recipe.freeze)) {
  net_->set_grad_checkpointing(recipe.grad_checkpointing);
  if (recipe.amp == Amp::kFp16) scale_.emplace();
  if (make_graph)
    graph_ = std::make_unique<BatchGraph>(
        make_graph,
        [this](const auto& images, const auto& targets) { return forward(images, targets); },
        optimizer_.parameters());
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

// Everything that training changes, except for the counters.
std::vector<torch::Tensor> Learner::tensors() {
  std::vector<torch::Tensor> all = optimizer_.moments();
  for (Network* net : {net_.get(), averaged_.get()}) {
    if (!net) continue;
    for (const torch::Tensor& p : net->parameters()) all.push_back(p);
    for (const torch::Tensor& b : net->buffers()) all.push_back(b);
  }
  return all;
}

void Learner::broadcast_state() {
  group_.broadcast_tensors(tensors());
  const double scale = scale_ ? scale_->scale() : 0;
  const auto good = scale_ ? static_cast<double>(scale_->good_steps()) : 0;
  const torch::Tensor counters =
      torch::tensor({static_cast<double>(optimizer_.steps()), scale, good}, torch::kFloat64);
  group_.broadcast_tensors({counters});
  optimizer_.set_steps(counters[0].item<int64_t>());
  if (scale_) scale_->restore(counters[1].item<double>(), counters[2].item<int64_t>());
}

void Learner::average_statistics() {
  for (Network* net : {net_.get(), averaged_.get()})
    if (net) group_.all_reduce_mean(net->buffers());
}

TensorMap Learner::model_tensors() const { return export_tensors(averaged_ ? *averaged_ : *net_); }

TensorMap Learner::state() const {
  TensorMap state = optimizer_.state();
  if (averaged_)
    for (auto& [name, tensor] : export_tensors(*net_)) state[kRaw + name] = std::move(tensor);
  if (scale_)  // both are integers below 2^24 in any run: exact in f32
    state[kLossScale] = Tensor::f32(
        {2}, {static_cast<float>(scale_->scale()), static_cast<float>(scale_->good_steps())});
  return state;
}

std::pair<torch::Tensor, torch::Tensor> Learner::forward(const torch::Tensor& images,
                                                         const torch::Tensor& targets) {
  torch::Tensor logits;
  {
    const Autocast autocast(recipe_.amp, device_.type());
    logits = net_->forward(images).to(torch::kFloat32);
  }
  return {logits, soft_cross_entropy(logits, targets) + optimizer_.l2_term()};
}

void Learner::add(const Batch& batch, const std::vector<float>& soft, int64_t draw, bool last) {
  Rng rng(static_cast<uint64_t>(recipe_.seed), Purpose::kDropPath, static_cast<uint64_t>(draw));
  torch::manual_seed(rng.next_u32());
  net_->train();
  for (const auto& module : frozen_modules_) module->eval();
  const torch::Tensor images = moved(images_tensor(batch), device_);
  const torch::Tensor targets =
      moved(torch::tensor(soft).view({batch.size, -1}), device_);  // [B, K]
  // Its share of a step without left-out images; update() corrects for those.
  const double share = static_cast<double>(batch.size) / static_cast<double>(step_images(recipe_));
  const bool whole = batch.size == recipe_.per_device_batch_size;
  torch::Tensor logits, loss;
  if (graph_ && whole) {
    std::tie(logits, loss) = graph_->backward(images, targets, share * loss_scale());
  } else {
    std::tie(logits, loss) = forward(images, targets);
    reducer_.backward(loss * (share * loss_scale()), last);
  }
  const auto add_to = [&](torch::Tensor& sum, const torch::Tensor& value) {
    sum = sums_.images > 0 ? sum + value : value;
  };
  add_to(sums_.correct, (logits.detach().argmax(1) == targets.argmax(1)).sum());
  add_to(sums_.loss, loss.detach().to(torch::kFloat64) * static_cast<double>(batch.size));
  sums_.images += batch.size;
}

std::optional<Learner::Update> Learner::update(int64_t step, double learning_rate, bool stop) {
  const Sums mine = std::exchange(sums_, {});
  const bool any = mine.images > 0;
  std::array<double, 4> sums = {
      static_cast<double>(mine.images), any ? mine.loss.item<double>() : 0,
      any ? static_cast<double>(mine.correct.item<int64_t>()) : 0, stop ? 1.0 : 0.0};
  group_.all_reduce_sum(sums);
  const auto [images, loss_sum, correct, stops] = sums;
  anyone_stops_ = stops > 0;
  if (images == 0) return std::nullopt;
  // The gradients are sums over the batches, but the reducer took their mean over the processes.
  const double norm =
      optimizer_.step(learning_rate, static_cast<double>(step_images(recipe_)) / images *
                                         group_.world_size() / loss_scale());
  const double loss = loss_sum / images;
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
  return Update{loss, norm, static_cast<int64_t>(images), static_cast<int64_t>(correct), skipped};
}

}  // namespace nestvit::train

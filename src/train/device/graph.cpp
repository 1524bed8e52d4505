// Inputs and gradients that stay where they are, around the work of a graph.
#include "train/device/graph.h"

#include "base/check.h"

namespace nestvit::train {

BatchGraph::BatchGraph(MakeGraph make, Forward forward, std::vector<torch::Tensor> parameters)
    : make_(std::move(make)), forward_(std::move(forward)), parameters_(std::move(parameters)) {}

// Leaves the parameters without gradients: the next work then writes to the same tensors instead of
// adding to them.
std::vector<torch::Tensor> BatchGraph::work() {
  const auto [logits, loss] = forward_(images_, targets_);
  (loss * factor_).backward();
  std::vector<torch::Tensor> results = {logits.detach(), loss.detach()};
  for (const torch::Tensor& p : parameters_) {
    NESTVIT_CHECK(p.grad().defined());
    results.push_back(p.grad());
    p.mutable_grad() = torch::Tensor();
  }
  return results;
}

std::pair<torch::Tensor, torch::Tensor> BatchGraph::backward(const torch::Tensor& images,
                                                             const torch::Tensor& targets,
                                                             double factor) {
  if (!graph_) {
    images_ = torch::empty_like(images);
    targets_ = torch::empty_like(targets);
    factor_ = torch::empty({}, images.options().dtype(torch::kFloat32));
    graph_ = make_([this] { return work(); }, images.device());
  }
  NESTVIT_CHECK(images.sizes() == images_.sizes() && targets.sizes() == targets_.sizes());
  images_.copy_(images, /*non_blocking=*/true);
  targets_.copy_(targets, /*non_blocking=*/true);
  factor_.fill_(factor);
  std::vector<torch::Tensor> before;  // of the step's batches so far; of all parameters or of none
  for (const torch::Tensor& p : parameters_) {
    // A copy, since they may be the tensors that are overwritten now.
    if (p.grad().defined()) before.push_back(p.grad().clone());
    p.mutable_grad() = torch::Tensor();
  }
  const std::vector<torch::Tensor>& results = graph_->run();
  std::vector<torch::Tensor> gradients(results.begin() + 2, results.end());
  NESTVIT_CHECK(before.empty() || before.size() == gradients.size());
  if (!before.empty()) {
    const torch::NoGradGuard no_grad;
    at::_foreach_add_(before, gradients);
    gradients = std::move(before);
  }
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = gradients[i];
  return {results[0], results[1]};
}

}  // namespace nestvit::train

// Adam's three kernels; see adam.h.
#include "train/optim/adam.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/check.h"

namespace nestvit::train {
namespace {

struct Lists {
  std::vector<torch::Tensor> values, gradients, first, second;

  void add(const AdamParameter& p, const torch::Tensor& gradient) {
    values.push_back(p.value);
    gradients.push_back(gradient);
    first.push_back(p.first);
    second.push_back(p.second);
  }
};

bool kernel_covers(const AdamParameter& p, const torch::Tensor& like) {
  for (const torch::Tensor& t : {p.value, p.gradient, p.first, p.second})
    if (t.device() != like.device() || t.scalar_type() != like.scalar_type()) return false;
  return p.value.is_non_overlapping_and_dense() && p.first.strides() == p.value.strides() &&
         p.second.strides() == p.value.strides();
}

// The kernel walks all four tensors in the same order, but a convolution's gradient may have other
// strides where a side is 1.
torch::Tensor laid_out_as(const torch::Tensor& value, const torch::Tensor& gradient) {
  return gradient.strides() == value.strides() ? gradient
                                               : torch::empty_like(value).copy_(gradient);
}

// PyTorch's kernel takes one learning rate and one weight decay for all its tensors, so one call
// for each pair of them. It corrects by 1 - beta^t in f64, by `exact1` and `exact2`; here rate and
// eps are chosen such that its update is the one by our corrections:
//   rate' * (m / exact1) / (sqrt(v / exact2) + eps') = rate * (m / c1) / (sqrt(v / c2) + eps)
// with eps' = eps * sqrt(c2 / exact2) and rate' = rate * exact1 / c1 * sqrt(c2 / exact2).
void update_fused(const AdamSettings& s, int64_t step,
                  const std::vector<AdamParameter>& parameters) {
  const auto t = static_cast<double>(step);
  const double second = std::sqrt(s.correction2 / (1 - std::pow(s.beta2, t)));
  const double first = (1 - std::pow(s.beta1, t)) / s.correction1 * second;
  std::map<std::pair<double, double>, Lists> groups;  // by rate and decay
  for (const AdamParameter& p : parameters)
    groups[{p.rate, p.decay}].add(p, laid_out_as(p.value, p.gradient));
  // The kernel reads the step of each tensor from the device; here all tensors share one.
  const torch::Tensor count =
      torch::full({}, t, torch::dtype(torch::kFloat32).device(parameters.front().value.device()));
  for (const auto& [key, lists] : groups) {
    const auto& [rate, decay] = key;
    const double its_rate = rate * first;
    const std::vector<torch::Tensor> steps(lists.values.size(), count);
    // The kernel multiplies weight decay and rate; a rate of 0 decays nothing.
    at::_fused_adamw_(lists.values, lists.gradients, lists.first, lists.second, {}, steps, its_rate,
                      s.beta1, s.beta2, its_rate == 0 ? 0 : decay / its_rate, s.eps * second,
                      /*amsgrad=*/false, /*maximize=*/false);
  }
}

void update_plain(const AdamSettings& s, const std::vector<AdamParameter>& parameters) {
  Lists all;
  for (const AdamParameter& p : parameters) all.add(p, p.gradient);
  at::_foreach_mul_(all.first, s.beta1);
  at::_foreach_add_(all.first, all.gradients, 1 - s.beta1);
  at::_foreach_mul_(all.second, s.beta2);
  at::_foreach_addcmul_(all.second, all.gradients, all.gradients, 1 - s.beta2);

  const auto root = at::_foreach_div(all.second, s.correction2);
  at::_foreach_sqrt_(root);
  at::_foreach_add_(root, s.eps);
  const auto update = at::_foreach_div(all.first, s.correction1);
  at::_foreach_div_(update, root);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const AdamParameter& p = parameters[i];
    update[i].mul_(p.rate);
    if (p.decay != 0) update[i].add_(p.value, p.decay);
  }
  at::_foreach_sub_(all.values, update);
}

}  // namespace

double adam_correction(double beta, int64_t step) {
  return double{1 - std::pow(static_cast<float>(beta), static_cast<float>(step))};
}

AdamKernel adam_kernel(const std::vector<AdamParameter>& parameters) {
  if (std::all_of(parameters.begin(), parameters.end(), adam_pass_covers))
    return AdamKernel::kOnePass;
  const torch::Tensor& like = parameters.front().value;
  const bool fused =
      like.is_cuda() && std::all_of(parameters.begin(), parameters.end(),
                                    [&](const AdamParameter& p) { return kernel_covers(p, like); });
  return fused ? AdamKernel::kFused : AdamKernel::kPlain;
}

void adam_update(AdamKernel kernel, const AdamSettings& settings, int64_t step,
                 const std::vector<AdamParameter>& parameters) {
  NESTVIT_CHECK(!parameters.empty() && step > 0);
  switch (kernel) {
    case AdamKernel::kOnePass:
      return adam_pass(settings, parameters);
    case AdamKernel::kFused:
      return update_fused(settings, step, parameters);
    case AdamKernel::kPlain:
      return update_plain(settings, parameters);
  }
}

}  // namespace nestvit::train

// Not torch::batch_norm in training, whose running variance is the unbiased one: Flax keeps the
// biased.
#include "train/network/batch_norm.h"

#include "model/nest.h"
#include "train/network/recompute.h"

namespace nestvit::train {
namespace {

thread_local const Group* sharing = nullptr;

// Sums of all processes, of [C] tensors and of the number of values behind each.
struct Sums {
  torch::Tensor first, second;  // f64 [C]
  double count;
};

Sums summed(const Group& group, const torch::Tensor& first, const torch::Tensor& second,
            double count) {
  const int64_t channels = first.numel();
  const auto here = [](const torch::Tensor& x) { return x.to(torch::kCPU, torch::kFloat64); };
  const torch::Tensor all =
      torch::cat({here(first), here(second), torch::full({1}, count, torch::kFloat64)});
  group.sum_all({all.data_ptr<double>(), static_cast<size_t>(all.numel())});
  const auto there = [&](int64_t from) { return all.narrow(0, from, channels).to(first.device()); };
  return {there(0), there(channels), all[-1].item<double>()};
}

std::vector<int64_t> all_but_channels(const torch::Tensor& x) {
  return x.dim() == 2 ? std::vector<int64_t>{0} : std::vector<int64_t>{0, 2, 3};
}

torch::Tensor along_channels(const torch::Tensor& v, const torch::Tensor& x) {
  return x.dim() == 2 ? v : v.view({-1, 1, 1});
}

// (x - mean) / sqrt(var + eps) by the statistics of all processes. dx = (dy - mean(dy) -
// x^ mean(dy x^)) / sqrt(var + eps), the means over all processes, too.
class SharedNorm : public torch::autograd::Function<SharedNorm> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const torch::Tensor& x, const Group* group) {
    const auto dims = all_but_channels(x);
    const auto count = static_cast<double>(x.numel() / x.size(1));
    const auto [var, mean] = torch::var_mean(x, dims, /*unbiased=*/false);
    // In f64: what remains of a mean of squares less a squared mean.
    const torch::Tensor mean64 = mean.to(torch::kFloat64);
    const Sums all =
        summed(*group, mean64 * count, (var.to(torch::kFloat64) + mean64.square()) * count, count);
    const torch::Tensor m = all.first / all.count;
    const torch::Tensor v = (all.second / all.count - m.square()).clamp_min(0);
    const torch::Tensor inverse = (v + kBatchNormEps).rsqrt().to(x.scalar_type());
    const torch::Tensor mean_f = m.to(x.scalar_type());
    const torch::Tensor y = (x - along_channels(mean_f, x)) * along_channels(inverse, x);
    context->save_for_backward({y, inverse});
    context->saved_data["group"] = reinterpret_cast<int64_t>(group);
    const torch::Tensor var_f = v.to(x.scalar_type());
    context->mark_non_differentiable({mean_f, var_f});
    return {y, mean_f, var_f};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto* group = reinterpret_cast<const Group*>(context->saved_data["group"].toInt());
    const auto saved = context->get_saved_variables();
    const torch::Tensor &y = saved[0], &inverse = saved[1], &dy = gradients[0];
    const auto dims = all_but_channels(y);
    const Sums all = summed(*group, dy.sum(dims), (dy * y).sum(dims),
                            static_cast<double>(y.numel() / y.size(1)));
    const auto mean = [&](const torch::Tensor& sum) {
      return along_channels((sum / all.count).to(y.scalar_type()), y);
    };
    return {(dy - mean(all.first) - y * mean(all.second)) * along_channels(inverse, y),
            torch::Tensor()};
  }
};

void move_running(BatchNormTensors& t, const torch::Tensor& mean, const torch::Tensor& var) {
  if (recomputing()) return;
  torch::NoGradGuard no_grad;
  t.mean.lerp_(mean, kBatchNormMomentum);
  t.var.lerp_(var, kBatchNormMomentum);
}

}  // namespace

SharedStatistics::SharedStatistics(const Group* group) : before_(sharing) {
  sharing = group && group->size() > 1 ? group : nullptr;
}
SharedStatistics::~SharedStatistics() { sharing = before_; }

torch::Tensor batch_norm(const torch::Tensor& x, BatchNormTensors& t, bool training) {
  if (!training)
    return torch::batch_norm(x, t.weight, t.bias, t.mean, t.var, /*training=*/false,
                             kBatchNormMomentum, kBatchNormEps,
                             /*cudnn=*/false);
  if (sharing) {
    const auto normed = SharedNorm::apply(x.to(torch::kFloat32), sharing);
    move_running(t, normed[1], normed[2]);
    return normed[0] * along_channels(t.weight, x) + along_channels(t.bias, x);
  }
  auto [y, mean, inv_std] =
      torch::native_batch_norm(x, t.weight, t.bias, /*mean=*/{}, /*var=*/{},
                               /*training=*/true, kBatchNormMomentum, kBatchNormEps);
  move_running(t, mean, inv_std.pow(-2) - kBatchNormEps);
  return y;
}

}  // namespace nestvit::train

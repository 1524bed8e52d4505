// Data, loss, gradients and time of a training step.
#include "bench/train/training_step.h"

#include <nestvit/error.h>

#include <chrono>
#include <cmath>

#include "model/params.h"
#include "train/network/tensors.h"
#include "train/optim/loss.h"
#include "train/optim/optim.h"
#include "weights/model_dir.h"

namespace nestvit::bench {

using torch::Tensor;

Data synthetic(const NestConfig& config, int64_t batch) {
  torch::manual_seed(1);
  const int64_t side = config.image_size;
  return {torch::randn({batch, config.in_channels, side, side}),
          torch::softmax(torch::randn({batch, config.num_classes}), 1)};
}

NestConfig config_of(const std::string& model, bool as_timm) {
  NestConfig config = variant(model);
  if (as_timm) {
    config.attn_type = Attention::kMultiHead;
    config.gelu = Gelu::kErf;
    config.pool_padding = PoolPadding::kSymmetric;
  }
  return config;
}

train::Nest net_of(const NestConfig& config) {
  train::Nest net(config);
  train::load_tensors(*net, initial_tensors(config, 1));
  net->train();
  return net;
}

Tensor logits_of(train::Nest& net, const Tensor& images, Amp amp, torch::ScalarType type) {
  const train::Autocast autocast(amp, images.device().type());
  return net->forward(images).to(type);
}

Tensor loss_of(train::Nest& net, const Data& data, Amp amp) {
  return train::soft_cross_entropy(logits_of(net, data.images, amp, data.targets.scalar_type()),
                                   data.targets);
}

Gradients gradients(train::Nest& net, const Data& data, Amp amp) {
  net->zero_grad();
  torch::manual_seed(2);  // the same drop-path
  const Tensor loss = loss_of(net, data, amp);
  loss.backward();
  Gradients result{loss.item<double>(), {}};
  for (const Tensor& p : net->parameters())
    result.values.push_back(p.grad().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true));
  net->zero_grad();
  return result;
}

double worse(double a, double b) { return std::isnan(a) || a >= b ? a : b; }

double difference(const Gradients& got, const Gradients& want) {
  double worst = std::fabs(got.loss - want.loss) / want.loss;
  for (size_t i = 0; i < want.values.size(); ++i) {
    const double scale = want.values[i].abs().max().item<double>();
    const double error = (got.values[i] - want.values[i]).abs().max().item<double>();
    worst = worse(worst, scale == 0 ? error : error / scale);
  }
  return worst;
}

std::vector<double> time_steps(train::Nest& net, const Data& data, Amp amp, int warm_up,
                               int steps) {
  train::Optimizer optimizer(*net, net->config(), {});
  std::vector<double> seconds;
  for (int step = -warm_up; step < steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const Tensor loss = loss_of(net, data, amp);
    loss.backward();
    optimizer.step(1e-4);
    const bool finite = std::isfinite(net->parameters().back().sum().item<double>() +
                                      loss.item<double>());  // waits for a GPU's last update
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (!finite) throw Error("the loss is not finite");
    if (step >= 0) seconds.push_back(took.count());
  }
  return seconds;
}

}  // namespace nestvit::bench

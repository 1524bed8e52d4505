// Decay and update of averaged weights.
#include "train/optim/ema.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace nestvit::train {

double ema_decay(const EmaConfig& config, int64_t step) {
  const auto done = static_cast<double>(std::max<int64_t>(0, step - 1));
  if (done == 0) return 0;
  if (!config.warmup) return config.decay;
  return std::min(1 - std::pow(1 + done, -2.0 / 3), config.decay);
}

void ema_update(torch::nn::Module& averaged, const torch::nn::Module& net, double decay) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> averages = averaged.parameters(), values = net.parameters();
  for (const torch::Tensor& buffer : averaged.buffers()) averages.push_back(buffer);
  for (const torch::Tensor& buffer : net.buffers()) values.push_back(buffer);
  NESTVIT_CHECK(averages.size() == values.size());
  at::_foreach_lerp_(averages, values, 1 - decay);
}

}  // namespace nestvit::train

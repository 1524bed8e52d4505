// Counting by the parameter table, measuring by the clock.
#include "train/throughput.h"

#include <fmt/format.h>

#include <chrono>

#include "base/log.h"
#include "model/params.h"
#include "run/recipe/resolve.h"
#include "train/device/device.h"

namespace nestvit::train {
namespace {

// Images per second of the forward. The reference takes 10 + 500 runs; a CPU would take minutes.
double images_per_second(Network& net, const Recipe& r) {
  using Clock = std::chrono::steady_clock;
  constexpr int kWarmUp = 2, kMost = 500;
  constexpr double kSeconds = 5;
  const torch::NoGradGuard no_grad;
  net.eval();
  const torch::Tensor images =
      moved(torch::ones({r.per_device_batch_size, r.in_channels, r.input_size, r.input_size}),
            device_of(net));
  const auto forward = [&] { net.forward(images).to(torch::kCPU); };  // waits for a GPU
  for (int i = 0; i < kWarmUp; ++i) forward();
  const Clock::time_point start = Clock::now();
  for (int runs = 1;; ++runs) {
    forward();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (runs == kMost || seconds > kSeconds) return runs * r.per_device_batch_size / seconds;
  }
}

}  // namespace

void print_throughput(Network& net, const Recipe& recipe) {
  const auto line = [](const std::string& part, int64_t values, int64_t macs) {
    log_info(fmt::format("profile        {:<12}{:>14} parameters{:>10.4f} GMACs per image", part,
                         human_count(values), static_cast<double>(macs) / 1e9));
  };
  if (!architecture_of(recipe).resnet()) {
    const std::vector<int64_t> parameters = parameters_by_part(architecture_of(recipe));
    const std::vector<int64_t> products = multiply_accumulates_by_part(recipe.nest);
    for (size_t i = 0; i < parameters.size(); ++i)
      line(i == 0                       ? "patch embed"
           : i + 1 == parameters.size() ? "norm, head"
                                        : fmt::format("level {}", i - 1),
           parameters[i], products[i]);
  }
  log_info(fmt::format("Profile results Throughput: {:.3f} image/s, GFLOPS: {:.3f}, Params: {}",
                       images_per_second(net, recipe),
                       static_cast<double>(multiply_accumulates(architecture_of(recipe))) / 1e9,
                       human_count(parameter_count(architecture_of(recipe)))));
}

}  // namespace nestvit::train

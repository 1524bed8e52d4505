// gpu_bench parity MODEL..: logits, gradients and 20 training steps on a GPU beside the CPU, the
// same weights and images. gpu_bench speed MODEL --batch B --dtype f32,tf32,bf16: images per
// second of training steps and of the forward. JSON lines; bench/gpu_check.py puts them together.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>

#include "train/device.h"
#include "train/optim.h"
#include "train/process.h"
#include "training_step.h"

namespace {

using namespace nestvit;
using torch::Tensor;
using train::Amp;

struct Arguments {
  std::vector<std::string> models, dtypes{"f32", "tf32", "bf16"};
  std::string device = "cuda";
  int64_t batch = 32, steps = 20;
};

train::Nest net_on(const NestConfig& config, const torch::Device& device) {
  train::Nest net = bench::net_of(config);
  net->to(device);
  return net;
}

// ---- parity ----

// f32 logits within the bound of the goldens. Gradients and steps in f64: in f32 a near tie of
// max-pooling falls either way by rounding, which moves a gradient by a percent, and every step
// feeds the last one's rounding. In f64 rounding explains 1e-13; an f32 anywhere would show as
// 1e-8.
constexpr double kLogits = 2e-5, kGradients = 1e-9, kSteps = 1e-8;

// As Python's json reads it.
std::string json_number(double x) {
  if (std::isnan(x)) return "NaN";
  return std::isinf(x) ? "Infinity" : fmt::format("{:.3g}", x);
}

bool report(const std::string& model, const std::string& what, double worst, double bound) {
  const bool good = worst <= bound;
  fmt::print(R"({{"model": "{}", "check": "{}", "difference": {}, "bound": {:.0e}, "good": {}}})"
             "\n",
             model, what, json_number(worst), bound, good);
  std::fflush(stdout);
  return good;
}

std::vector<double> losses(train::Nest net, const bench::Data& data, int steps) {
  net->train();
  train::Optimizer optimizer(*net, net->config(), {});
  std::vector<double> all;
  for (int step = 0; step < steps; ++step) {
    const Tensor loss = bench::loss_of(net, data, Amp::kNone);
    loss.backward();
    optimizer.step(1e-4);
    all.push_back(loss.item<double>());
  }
  return all;
}

bool parity(const std::string& model, const torch::Device& gpu) {
  NestConfig config = variant(model);
  config.stochastic_depth_drop = 0;  // each device draws its own
  train::Nest here = bench::net_of(config), there = net_on(config, gpu);
  bench::Data data = bench::synthetic(config, 4), moved = data.on(gpu);
  bool good = true;
  {
    const torch::NoGradGuard no_grad;
    here->eval();
    there->eval();
    const Tensor want = here->forward(data.images),
                 got = there->forward(moved.images).to(torch::kCPU);
    const double worst = ((got - want).abs().max() / want.abs().max()).item<double>();
    good = report(model, "logits, f32", worst, kLogits);
  }
  for (train::Nest* net : {&here, &there}) {
    (*net)->to(torch::kFloat64);
    (*net)->train();
  }
  data = {data.images.to(torch::kFloat64), data.targets.to(torch::kFloat64)};
  moved = data.on(gpu);
  const double worst = bench::difference(bench::gradients(there, moved, Amp::kNone),
                                         bench::gradients(here, data, Amp::kNone));
  good = report(model, "gradients, f64", worst, kGradients) && good;
  const std::vector<double> want = losses(here, data, 20), got = losses(there, moved, 20);
  double furthest = 0;
  for (size_t i = 0; i < want.size(); ++i)
    furthest = bench::worse(furthest, std::fabs(got[i] - want[i]) / want[i]);
  return report(model, "20 steps, f64", furthest, kSteps) && good;
}

// ---- speed ----

std::vector<double> time_forward(train::Nest& net, const Tensor& images, Amp amp, int64_t steps) {
  const torch::NoGradGuard no_grad;
  net->eval();
  std::vector<double> seconds;
  for (int64_t step = -3; step < steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    {
      const train::Autocast autocast(amp, images.device().type());
      net->forward(images).to(torch::kCPU);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (step >= 0) seconds.push_back(took.count());
  }
  net->train();
  return seconds;
}

void print_speed(const Arguments& args, const std::string& model, const std::string& dtype,
                 const std::string& what, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  fmt::print(
      R"({{"model": "{}", "dtype": "{}", "what": "{}", "batch": {}, "images_per_s": {:.1f}}})"
      "\n",
      model, dtype, what, args.batch,
      static_cast<double>(args.batch) / seconds[seconds.size() / 2]);
  std::fflush(stdout);
}

void speed(const Arguments& args, const std::string& model) {
  for (const std::string& dtype : args.dtypes) {
    const Amp amp = dtype == "bf16" ? Amp::kBf16 : dtype == "tf32" ? Amp::kTf32 : Amp::kNone;
    const torch::Device gpu = train::open_device(args.device, amp);
    const NestConfig config = bench::config_of(model, /*as_timm=*/true);
    train::Nest net = net_on(config, gpu);
    const bench::Data data = bench::synthetic(config, args.batch).on(gpu);
    print_speed(args, model, dtype, "train",
                bench::time_steps(net, data, amp, 5, static_cast<int>(args.steps)));
    print_speed(args, model, dtype, "forward", time_forward(net, data.images, amp, args.steps));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Arguments args;
  CLI::App app("a GPU beside the CPU, and how fast it is");
  app.require_subcommand(1);
  CLI::App* check = app.add_subcommand("parity");
  CLI::App* time = app.add_subcommand("speed");
  for (CLI::App* verb : {check, time}) {
    verb->add_option("models", args.models)->required();
    verb->add_option("--device", args.device);
  }
  time->add_option("--batch", args.batch)->check(CLI::PositiveNumber);
  time->add_option("--steps", args.steps)->check(CLI::PositiveNumber);
  time->add_option("--dtype", args.dtypes)->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  try {
    train::prepare_process(0);
    bool good = true;
    if (check->parsed()) {
      const torch::Device gpu = train::open_device(args.device, Amp::kNone);
      for (const std::string& model : args.models) good = parity(model, gpu) && good;
    } else {
      for (const std::string& model : args.models) speed(args, model);
    }
    return good ? 0 : 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 2;
  }
}

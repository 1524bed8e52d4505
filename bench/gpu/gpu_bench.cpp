// gpu_bench parity MODEL..: logits, gradients and 20 training steps on a GPU beside the CPU, the
// same weights and images; gradients with layers computed again, and replayed as a CUDA graph;
// PyTorch's AdamW beside ours; tf32 and bf16 beside f32.
// gpu_bench speed MODEL --batch B --dtype f32,tf32,bf16: images per second of training steps, done
// and replayed, and of the forward. JSON lines; bench/gpu/run.py puts them together. Exit code 1:
// a check was missed.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/train/training_step.h"
#include "train/device/cuda_module.h"
#include "train/device/device.h"
#include "train/device/process_setup.h"
#include "train/optim/adam.h"
#include "train/optim/loss.h"
#include "train/optim/optim.h"

namespace {

using namespace nestvit;
using torch::Tensor;

struct Arguments {
  std::vector<std::string> models, dtypes{"f32", "tf32", "bf16"};
  std::string device = "cuda";
  int64_t batch = 32, check_batch = 4, steps = 20;
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

struct Check {
  std::string model, what;
  double difference, bound;
  double least = 0;  // a smaller difference says that what is checked was not in force
};

bool report(const Check& c) {
  const bool good = c.difference >= c.least && c.difference <= c.bound;
  fmt::print(
      R"({{"model": "{}", "check": "{}", "difference": {}, "least": {:.1e}, "bound": {:.1e}, "good": {}}})"
      "\n",
      c.model, c.what, json_number(c.difference), c.least, c.bound, good);
  std::fflush(stdout);
  return good;
}

void report_left_out(const std::string& model, const std::string& what, std::string reason) {
  std::replace(reason.begin(), reason.end(), '"', '\'');  // of a JSON string
  fmt::print(R"({{"model": "{}", "check": "{}", "note": "{}"}})"
             "\n",
             model, what, reason);
  std::fflush(stdout);
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

NestConfig without_drop_path(const std::string& model) {  // each device draws its own
  NestConfig config = variant(model);
  config.stochastic_depth_drop = 0;
  return config;
}

bench::Data in_f64(const bench::Data& data) {
  return {data.images.to(torch::kFloat64), data.targets.to(torch::kFloat64)};
}

Tensor logits_of(train::Nest& net, const bench::Data& data, Amp amp) {
  const torch::NoGradGuard no_grad;
  const train::Autocast autocast(amp, data.images.device().type());
  net->eval();
  const Tensor logits = net->forward(data.images).to(torch::kCPU, torch::kFloat32);
  net->train();
  return logits;
}

bool beside_the_cpu(const Arguments& args, const std::string& model, const torch::Device& device) {
  const NestConfig config = without_drop_path(model);
  train::Nest here = bench::net_of(config), there = net_on(config, device);
  bench::Data data = bench::synthetic(config, args.check_batch), moved = data.on(device);
  const Tensor want = logits_of(here, data, Amp::kNone), got = logits_of(there, moved, Amp::kNone);
  const double worst = ((got - want).abs().max() / want.abs().max()).item<double>();
  bool good = report({model, "logits, f32", worst, kLogits});
  here->to(torch::kFloat64);
  there->to(torch::kFloat64);
  data = in_f64(data);
  moved = data.on(device);
  good = report({model, "gradients, f64",
                 bench::difference(bench::gradients(there, moved, Amp::kNone),
                                   bench::gradients(here, data, Amp::kNone)),
                 kGradients}) &&
         good;
  const int steps = static_cast<int>(args.steps);
  const std::vector<double> wanted = losses(here, data, steps), found = losses(there, moved, steps);
  double furthest = 0;
  for (size_t i = 0; i < wanted.size(); ++i)
    furthest = bench::worse(furthest, std::fabs(found[i] - wanted[i]) / wanted[i]);
  return report({model, fmt::format("loss in {} steps, f64", steps), furthest, kSteps}) && good;
}

// Layers computed again in the backward against layers that keep what they need, with drop-path:
// another draw would be a difference of order 1. The CPU's are equal to the bit; a GPU may add up
// gradients in any order, which in f64 is far below kGradients.
bool recomputed(const Arguments& args, const std::string& model, const torch::Device& device) {
  NestConfig config = variant(model);
  config.stochastic_depth_drop = 0.2;
  train::Nest net = net_on(config, device);
  net->to(torch::kFloat64);
  const bench::Data data = in_f64(bench::synthetic(config, args.check_batch)).on(device);
  const bench::Gradients want = bench::gradients(net, data, Amp::kNone);
  net->set_grad_checkpointing(true);
  return report({model, "gradients of recomputed layers, f64",
                 bench::difference(bench::gradients(net, data, Amp::kNone), want), kGradients});
}

// ---- what a GPU has of its own: PyTorch's AdamW, CUDA graphs ----

// The tensors of five steps; in f64, where another correction of the moments (adam.h) would show as
// 1e-8, and rounding explains 1e-14.
Tensor adam_steps(train::AdamKernel kernel, const torch::Device& device) {
  torch::manual_seed(1);
  std::vector<train::AdamParameter> parameters;
  for (const int64_t size : {7, 192, 36864, 147456}) {
    const Tensor value = torch::randn({size}, torch::kFloat64).to(device);
    parameters.push_back(
        {value, Tensor(), torch::zeros_like(value), torch::zeros_like(value), 0, 0});
  }
  for (int64_t step = 1; step <= 5; ++step) {
    for (train::AdamParameter& p : parameters) {
      p.gradient = torch::randn(p.value.sizes(), torch::kFloat64).to(device);
      p.rate = p.value.numel() < 1000 ? 1e-3 : 7e-4;
      p.decay = p.value.numel() < 100 ? 0 : p.rate * 0.05;
    }
    train::adam_update(
        kernel,
        {0.9, 0.999, 1e-8, train::adam_correction(0.9, step), train::adam_correction(0.999, step)},
        step, parameters);
  }
  std::vector<Tensor> all;
  for (const train::AdamParameter& p : parameters)
    for (const Tensor& t : {p.value, p.first, p.second}) all.push_back(t.to(torch::kCPU));
  return torch::cat(all);
}

bool adam_kernels(const torch::Device& device) {
  constexpr double kAdam = 1e-12;
  const Tensor want = adam_steps(train::AdamKernel::kPlain, torch::kCPU);
  const Tensor got = adam_steps(train::AdamKernel::kFused, device);
  return report({"any", "PyTorch's fused AdamW beside ours, f64",
                 ((got - want).abs().max() / want.abs().max()).item<double>(), kAdam});
}

// Null where nothing can be recorded; `reason` then says why.
train::MakeGraph recorder(const torch::Device& device, std::string& reason) {
  reason = "a CUDA graph is of a GPU";
  if (device.is_cpu()) return nullptr;
  try {
    return train::cuda_module().make_graph;
  } catch (const Error& error) {
    reason = error.what();
    return nullptr;
  }
}

train::BatchGraph replay_of(train::Nest& net, Amp amp, const train::MakeGraph& make) {
  const auto forward = [&net, amp](const Tensor& images, const Tensor& targets) {
    const Tensor logits = bench::logits_of(net, images, amp, targets.scalar_type());
    return std::pair(logits, train::soft_cross_entropy(logits, targets));
  };
  return train::BatchGraph(make, forward, net->parameters());
}

// Done at first, then recorded and replayed, each time with drop-path of the same seed: always the
// same gradients.
bool replayed(const Arguments& args, const std::string& model, const torch::Device& device) {
  const std::string what = "gradients of a CUDA graph, f64";
  std::string reason;
  const train::MakeGraph make = recorder(device, reason);
  if (!make) {
    report_left_out(model, what, reason);
    return true;
  }
  NestConfig config = variant(model);
  config.stochastic_depth_drop = 0.2;
  train::Nest net = net_on(config, device);
  net->to(torch::kFloat64);
  const bench::Data data = in_f64(bench::synthetic(config, args.check_batch)).on(device);
  const bench::Gradients want = bench::gradients(net, data, Amp::kNone);
  train::BatchGraph replay = replay_of(net, Amp::kNone, make);
  double worst = 0;
  for (int run = 0; run < 8; ++run) {
    torch::manual_seed(2);
    bench::Gradients got{replay.backward(data.images, data.targets, 1).second.item<double>(), {}};
    for (const Tensor& p : net->parameters()) got.values.push_back(p.grad().to(torch::kCPU));
    net->zero_grad();
    worst = bench::worse(worst, bench::difference(got, want));
  }
  return report({model, what, worst, kGradients});
}

// ---- short types, against f32 on the same device ----

// How far a number of that type is from what was rounded, relative to it: bf16 keeps 8 bits; tf32
// keeps 11, and the hardware may cut the rest off.
double roundoff(Amp amp) { return amp == Amp::kBf16 ? 0x1p-8 : 0x1p-10; }

// Of the logits, relative, both root mean squares. A rounding moves what it touches by at most
// `roundoff` of it; roundings are independent of each other, and norms, softmax and residuals pass
// a relative error on as it is. So: roundoff x sqrt(roundings on the way). Those of an encoder
// layer are x, weight and result of qkv (3); weights and result of attention (2); weight and result
// of proj (2); x, weight and result of fc1 (3); GELU (1); weight and result of fc2 (2). Patch
// embedding, each convolution and the head are a product each (3).
double logits_bound(const NestConfig& config, Amp amp) {
  int64_t roundings = 3;
  for (const Level& level : geometry(config)) roundings += 13 * int64_t{level.depth} + 3;
  return roundoff(amp) * std::sqrt(static_cast<double>(roundings));
}

// Gradients have no such bound: max-pooling takes another pixel where two are nearly the same. So
// bf16 is held to what the CPU's autocast of the plain layers, which rounds at the same places, is
// away from the CPU's f32; a quarter more, since other pixels fall the other way. Of the pooled
// pixels a share as large as the roundoff changes, and the norm of the gradient's difference goes
// with the root of that: tf32, whose roundoff is a quarter, may be half as far.
constexpr double kSlack = 1.25;

double distance(const bench::Gradients& got, const bench::Gradients& want) {
  double difference = 0, size = 0;  // squares
  for (size_t i = 0; i < want.values.size(); ++i) {
    difference += (got.values[i] - want.values[i]).square().sum().item<double>();
    size += want.values[i].square().sum().item<double>();
  }
  return std::sqrt(difference / size);
}

bool short_types(const Arguments& args, const std::string& model, const torch::Device& device) {
  const NestConfig config = without_drop_path(model);
  train::Nest here = bench::net_of(config), there = net_on(config, device);
  here->use_fused(false);
  const bench::Data data = bench::synthetic(config, args.check_batch), moved = data.on(device);
  const double of_bf16 =
      distance(bench::gradients(here, data, Amp::kBf16), bench::gradients(here, data, Amp::kNone));
  const Tensor logits = logits_of(there, moved, Amp::kNone);
  const bench::Gradients gradients = bench::gradients(there, moved, Amp::kNone);
  bool good = true;
  for (const Amp amp : {Amp::kTf32, Amp::kBf16}) {
    if (amp == Amp::kTf32 && device.is_cpu()) continue;
    const std::string name = amp == Amp::kTf32 ? "tf32" : "bf16";
    train::open_device(args.device, amp);
    const Tensor difference = logits_of(there, moved, amp) - logits;
    const double root = (difference.norm() / logits.norm()).item<double>();
    good = report({model, "logits, " + name, root, logits_bound(config, amp), kLogits}) && good;
    good = report({model, "gradients, " + name,
                   distance(bench::gradients(there, moved, amp), gradients),
                   kSlack * of_bf16 * (amp == Amp::kTf32 ? 0.5 : 1), kLogits}) &&
           good;
  }
  return good;
}

bool parity(const Arguments& args, const std::string& model) {
  const torch::Device device = train::open_device(args.device, Amp::kNone);
  bool good = beside_the_cpu(args, model, device);
  good = recomputed(args, model, device) && good;
  good = replayed(args, model, device) && good;
  return short_types(args, model, device) && good;
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

// As bench::time_steps.
std::vector<double> time_replayed(train::Nest& net, const bench::Data& data, Amp amp,
                                  const train::MakeGraph& make, int64_t steps) {
  train::Optimizer optimizer(*net, net->config(), {});
  train::BatchGraph replay = replay_of(net, amp, make);
  std::vector<double> seconds;
  for (int64_t step = -10; step < steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const Tensor loss = replay.backward(data.images, data.targets, 1).second;
    optimizer.step(1e-4);
    const bool finite =
        std::isfinite(net->parameters().back().sum().item<double>() + loss.item<double>());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (!finite) throw Error("the loss is not finite");
    if (step >= 0) seconds.push_back(took.count());
  }
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
    std::string reason;
    if (const train::MakeGraph make = recorder(gpu, reason))
      print_speed(args, model, dtype, "train, CUDA graph",
                  time_replayed(net, data, amp, make, args.steps));
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
    verb->add_option("--steps", args.steps)->check(CLI::PositiveNumber);
  }
  check->add_option("--batch", args.check_batch)->check(CLI::PositiveNumber);
  time->add_option("--batch", args.batch)->check(CLI::PositiveNumber);
  time->add_option("--dtype", args.dtypes)
      ->delimiter(',')
      ->check(CLI::IsMember({"f32", "tf32", "bf16"}));
  CLI11_PARSE(app, argc, argv);
  try {
    train::set_up_process(0);
    bool good = true;
    if (check->parsed()) {
      good = adam_kernels(train::open_device(args.device, Amp::kNone));
      for (const std::string& model : args.models) good = parity(args, model) && good;
    } else {
      for (const std::string& model : args.models) speed(args, model);
    }
    return good ? 0 : 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 2;
  }
}

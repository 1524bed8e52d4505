// train_bench MODEL [--batch B] [--steps N] [--threads T] [--as-timm] [--plain]: images per second
// of a training step (forward, soft cross-entropy, backward, AdamW) on synthetic data, one JSON
// line. Before it times, the fused layers' loss and gradients are held against the
// plain ones'. bench/train.py compares it with timm.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>

#include "model/params.h"
#include "train/bridge.h"
#include "train/loss.h"
#include "train/nest.h"
#include "train/optim.h"
#include "train/process.h"
#include "weights/model_dir.h"

namespace {

using namespace nestvit;
using torch::Tensor;

struct Arguments {
  std::string model;
  int64_t batch = 32;
  int steps = 10, warm_up = 2, threads = 1;
  bool as_timm = false, plain = false;
};

struct Data {
  Tensor images;   // [B, channels, S, S]
  Tensor targets;  // [B, K], soft
};

Data synthetic(const NestConfig& config, int64_t batch) {
  torch::manual_seed(1);
  const int64_t side = config.image_size;
  return {torch::randn({batch, config.in_channels, side, side}),
          torch::softmax(torch::randn({batch, config.num_classes}), 1)};
}

struct Gradients {
  double loss;
  std::vector<Tensor> values;
};

Gradients gradients(train::Nest& net, const Data& data) {
  net->zero_grad();
  torch::manual_seed(2);  // the same drop-path
  const Tensor loss = train::soft_cross_entropy(net->forward(data.images), data.targets);
  loss.backward();
  Gradients result{loss.item<double>(), {}};
  for (const Tensor& p : net->parameters()) result.values.push_back(p.grad().clone());
  net->zero_grad();
  return result;
}

// The largest difference of a gradient between the two paths, over its largest entry. Throws when
// rounding does not explain it: both sum the same numbers in another order.
double check(train::Nest& net, const NestConfig& config) {
  const Data data = synthetic(config, 2);
  net->use_fused(false);
  const Gradients plain = gradients(net, data);
  net->use_fused(true);
  const Gradients fused = gradients(net, data);
  double worst = std::fabs(fused.loss - plain.loss) / plain.loss;
  for (size_t i = 0; i < plain.values.size(); ++i) {
    const double scale = plain.values[i].abs().max().item<double>();
    const double error = (fused.values[i] - plain.values[i]).abs().max().item<double>();
    if (scale > 0) worst = std::max(worst, error / scale);
  }
  if (!(worst < 1e-4))  // the bound of the gradient goldens
    throw Error(fmt::format("fused and plain layers differ by {:.2g}", worst));
  return worst;
}

std::vector<double> time_steps(train::Nest& net, const NestConfig& config, const Arguments& args) {
  const Data data = synthetic(config, args.batch);
  train::Optimizer optimizer(*net, config, {});
  std::vector<double> seconds;
  for (int step = -args.warm_up; step < args.steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const Tensor loss = train::soft_cross_entropy(net->forward(data.images), data.targets);
    loss.backward();
    optimizer.step(1e-4);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (!std::isfinite(loss.item<double>())) throw Error("the loss is not finite");
    if (step >= 0) seconds.push_back(took.count());
  }
  return seconds;
}

void run(const Arguments& args) {
  NestConfig config = variant(args.model);
  if (args.as_timm) {
    config.attn_type = Attention::kMultiHead;
    config.gelu = Gelu::kErf;
    config.pool_padding = PoolPadding::kSymmetric;
  }
  train::prepare_process(args.threads);
  train::Nest net(config);
  train::load_tensors(*net, initial_tensors(config, 1));
  net->train();
  const double worst = check(net, config);
  net->use_fused(!args.plain);
  std::vector<double> seconds = time_steps(net, config, args);
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2], images = static_cast<double>(args.batch);
  // Backward costs twice the forward's products.
  const double operations = 3 * 2 * static_cast<double>(multiply_accumulates(config));
  fmt::print(
      R"({{"images_per_s": {:.3f}, "best": {:.3f}, "worst": {:.3f}, "gflops": {:.1f}, "difference": {:.2g}}})"
      "\n",
      images / median, images / seconds.front(), images / seconds.back(),
      operations * images / median * 1e-9, worst);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments args;
  CLI::App app("images per second of a training step on synthetic data");
  app.add_option("model", args.model, "a variant's name")->required();
  app.add_option("--batch", args.batch)->check(CLI::PositiveNumber);
  app.add_option("--steps", args.steps)->check(CLI::PositiveNumber);
  app.add_option("--warm-up", args.warm_up)->check(CLI::NonNegativeNumber);
  app.add_option("--threads", args.threads)->check(CLI::PositiveNumber);
  app.add_flag("--as-timm", args.as_timm, "timm's attention, GELU and padding");
  app.add_flag("--plain", args.plain, "times the plain layers");
  CLI11_PARSE(app, argc, argv);
  try {
    run(args);
    return 0;
  } catch (const Error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}

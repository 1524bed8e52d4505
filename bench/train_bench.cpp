// train_bench MODEL [--batch B] [--steps N] [--threads T] [--as-timm] [--bf16] [--plain]: images
// per second of a training step (forward, soft cross-entropy, backward, AdamW) on synthetic data,
// one JSON line. Before it times, the fused layers' loss and gradients are held against the plain
// ones' in f32. bench/train.py compares it with timm.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>

#include "model/params.h"
#include "train/amp.h"
#include "train/bridge.h"
#include "train/loss.h"
#include "train/nest.h"
#include "train/optim.h"
#include "train/process.h"
#include "weights/model_dir.h"

namespace {

using namespace nestvit;
using torch::Tensor;
using train::Amp;

struct Arguments {
  std::string model;
  int64_t batch = 32;
  int steps = 10, warm_up = 2, threads = 1;
  bool as_timm = false, bf16 = false, plain = false;
  Amp amp() const { return bf16 ? Amp::kBf16 : Amp::kNone; }
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

Tensor loss_of(train::Nest& net, const Data& data, Amp amp) {
  Tensor logits;
  {
    const train::Autocast autocast(amp);
    logits = net->forward(data.images).to(torch::kFloat32);
  }
  return train::soft_cross_entropy(logits, data.targets);
}

Gradients gradients(train::Nest& net, const Data& data, Amp amp) {
  net->zero_grad();
  torch::manual_seed(2);  // the same drop-path
  const Tensor loss = loss_of(net, data, amp);
  loss.backward();
  Gradients result{loss.item<double>(), {}};
  for (const Tensor& p : net->parameters()) result.values.push_back(p.grad().clone());
  net->zero_grad();
  return result;
}

// The largest difference of a gradient, over the largest entry of what it should be; or of the
// loss.
double difference(const Gradients& got, const Gradients& want) {
  double worst = std::fabs(got.loss - want.loss) / want.loss;
  for (size_t i = 0; i < want.values.size(); ++i) {
    const double scale = want.values[i].abs().max().item<double>();
    const double error = (got.values[i] - want.values[i]).abs().max().item<double>();
    if (scale > 0) worst = std::max(worst, error / scale);
  }
  return worst;
}

// How far the fused layers are from the plain ones in f32. Throws when rounding does not explain
// it. In f32 that is the bound of the gradient goldens: the same numbers are summed in another
// order. In bf16 no bound is known beforehand, since max-pooling takes another pixel where two are
// nearly the same; but what autocast rounds beside, the fused layers do not, so they are nearer.
double check(train::Nest& net, const NestConfig& config, Amp amp) {
  const Data data = synthetic(config, 2);
  net->use_fused(false);
  const Gradients want = gradients(net, data, Amp::kNone);
  double bound = 1e-4;
  if (amp != Amp::kNone) bound = 1.25 * difference(gradients(net, data, amp), want);
  net->use_fused(true);
  const double worst = difference(gradients(net, data, amp), want);
  if (!(worst < bound))
    throw Error(fmt::format("fused layers differ by {:.2g} from plain ones in f32, {:.2g} allowed",
                            worst, bound));
  return worst;
}

std::vector<double> time_steps(train::Nest& net, const NestConfig& config, const Arguments& args) {
  const Data data = synthetic(config, args.batch);
  train::Optimizer optimizer(*net, config, {});
  std::vector<double> seconds;
  for (int step = -args.warm_up; step < args.steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    const Tensor loss = loss_of(net, data, args.amp());
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
  const double worst = check(net, config, args.amp());
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
  app.add_flag("--bf16", args.bf16, "autocast to bf16");
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

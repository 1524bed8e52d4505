// train_bench MODEL [--batch B] [--steps N] [--threads T] [--as-timm] [--bf16] [--plain]: images
// per second of a training step (forward, soft cross-entropy, backward, AdamW) on synthetic data,
// one JSON line. Before it times, the fused layers' loss and gradients are held against the plain
// ones' in f32. bench/train/run.py compares it with timm.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "bench/train/training_step.h"
#include "model/params.h"
#include "train/device/process_setup.h"

namespace {

using namespace nestvit;

struct Arguments {
  std::string model;
  int64_t batch = 32;
  int steps = 10, warm_up = 2, threads = 1;
  bool as_timm = false, bf16 = false, plain = false;
  Amp amp() const { return bf16 ? Amp::kBf16 : Amp::kNone; }
};

// How far the fused layers are from the plain ones in f32. Throws when rounding does not explain
// it. In f32 that is the bound of the gradient goldens: the same numbers are summed in another
// order. In bf16 no bound is known beforehand, since max-pooling takes another pixel where two are
// nearly the same; but what autocast rounds beside, the fused layers do not, so they are nearer.
double check(train::Nest& net, Amp amp) {
  const bench::Data data = bench::synthetic(net->config(), 2);
  net->use_fused(false);
  const bench::Gradients want = bench::gradients(net, data, Amp::kNone);
  double bound = 1e-4;
  if (amp != Amp::kNone) bound = 1.25 * bench::difference(bench::gradients(net, data, amp), want);
  net->use_fused(true);
  const double worst = bench::difference(bench::gradients(net, data, amp), want);
  if (!(worst < bound))
    throw Error(fmt::format("fused layers differ by {:.2g} from plain ones in f32, {:.2g} allowed",
                            worst, bound));
  return worst;
}

void run(const Arguments& args) {
  const NestConfig config = bench::config_of(args.model, args.as_timm);
  train::set_up_process(args.threads);
  train::Nest net = bench::net_of(config);
  const double worst = check(net, args.amp());
  net->use_fused(!args.plain);
  std::vector<double> seconds = bench::time_steps(net, bench::synthetic(config, args.batch),
                                                  args.amp(), args.warm_up, args.steps);
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

// All settings take turns, so that all meet the same machine.
#include "cli/verbs/bench_gradients.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <span>
#include <string>

#include "base/log.h"
#include "base/random.h"
#include "runtime/engine.h"
#include "runtime/gradients.h"

namespace nestvit::cli {
namespace {

// Of the sum of magnitudes: f32 products of a level's channels, summed in any order.
constexpr double kConserved = 1e-5;
// Of the largest logit: both forwards are f32 and round alike.
constexpr double kSameLogits = 1e-5;

struct Setting {
  int batch, threads;
  std::shared_ptr<Engine> engine;
  std::shared_ptr<GradientEngine> gradients;
  std::vector<float> images;  // [batch, channels, S, S]
  std::vector<double> forward,
      ratio;  // seconds, and how many forwards the gradients take, by round
};

std::vector<std::vector<float>> best_class(int, std::span<const float> logits) {
  std::vector<float> target(logits.size());
  target[std::max_element(logits.begin(), logits.end()) - logits.begin()] = 1;
  std::vector<std::vector<float>> targets;
  targets.push_back(std::move(target));
  return targets;
}

struct Sums {
  double value = 0, magnitude = 0;
};
Sums products(const Activation& activation) {
  Sums sums;
  for (size_t i = 0; i < activation.gradient.size(); ++i) {
    const double product = double{activation.values[i]} * activation.gradient[i];
    sums.value += product;
    sums.magnitude += std::abs(product);
  }
  return sums;
}

void check(const Setting& s) {
  const std::vector<float> expected = s.engine->run(s.images, s.batch).logits;
  const auto all = s.gradients->run(s.images, s.batch, best_class);
  const size_t K = expected.size() / static_cast<size_t>(s.batch);
  for (size_t b = 0; b < all.size(); ++b) {
    const Gradients& g = all[b].front();
    const auto logits = std::span(expected).subspan(b * K, K);
    double largest = 0, off = 0;
    for (size_t k = 0; k < K; ++k) {
      largest = std::max(largest, std::abs(double{logits[k]}));
      off = std::max(off, std::abs(double{logits[k]} - g.logits[k]));
    }
    if (!(off <= kSameLogits * largest))
      throw Error(fmt::format("logits of the gradients are off by {:.1e} of {:.1e}", off, largest));
    for (const LevelGradients& level : g.levels) {
      if (level.aggregated.gradient.empty()) continue;
      const Sums before = products(level.aggregated), after = products(level.input);
      if (!(std::abs(before.value - after.value) <= kConserved * after.magnitude))
        throw Error(
            fmt::format("a pooling does not conserve what it gets: {:.6e} before it, {:.6e} after",
                        before.value, after.value));
    }
  }
}

template <class Body>
double seconds(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

void bench_gradients(const LoadedModel& model, const GradientBench& settings) {
  const NestConfig& config = model.config;
  std::vector<Setting> all;
  for (const int threads : settings.threads) {
    const auto engine = std::make_shared<Engine>(model, EngineOptions{.threads = threads});
    const auto gradients = std::make_shared<GradientEngine>(model, threads);
    for (const int batch : settings.batches) {
      Setting s{batch, gradients->threads(), engine, gradients, {}, {}, {}};
      s.images.resize(static_cast<size_t>(batch) * config.in_channels * config.image_size *
                      config.image_size);
      Rng rng(1, Purpose::kTest);
      for (float& value : s.images) value = rng.normal();
      check(s);
      all.push_back(std::move(s));
    }
  }
  Progress progress("bench", static_cast<int64_t>(all.size()) * settings.rounds);
  int64_t done = 0;
  for (int round = 0; round < settings.rounds; ++round)
    for (Setting& s : all) {
      const auto forward = [&] { s.engine->run(s.images, s.batch); };
      forward();
      // Before and after: what the machine does meanwhile meets both.
      const double before = seconds(forward);
      const double tree = seconds([&] { s.gradients->run(s.images, s.batch, best_class); });
      const double both = (before + seconds(forward)) / 2;
      s.forward.push_back(both);
      s.ratio.push_back(tree / both);
      if (++done; progress.due()) progress.update(done, "");
    }
  for (const Setting& s : all) {
    const auto [least, most] = std::minmax_element(s.ratio.begin(), s.ratio.end());
    fmt::print(
        "{} threads {} batch {:>2}: forward {:.2f} ms, with gradients for a tree {:.2f} times as "
        "long ({:.2f} to {:.2f})\n",
        config.variant, s.threads, s.batch, median(s.forward) * 1e3, median(s.ratio), *least,
        *most);
  }
}

}  // namespace nestvit::cli

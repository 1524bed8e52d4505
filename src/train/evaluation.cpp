// The evaluation that training runs between epochs.
#include "train/evaluation.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "base/log.h"
#include "data/loader.h"
#include "train/bridge.h"
#include "train/device.h"
#include "train/input.h"

namespace nestvit::train {

std::optional<Evaluation> evaluate(Network& net, const Dataset& images, const Recipe& recipe,
                                   int workers, const std::function<int()>& stop,
                                   const std::vector<int>& match) {
  const auto start = std::chrono::steady_clock::now();
  LoaderOptions options;
  options.batch_size = recipe.eval_batch_size;
  options.workers = workers;
  options.on_bad_image = recipe.data.on_bad_image;
  std::vector<int64_t> order = in_order(images.size());
  if (recipe.num_eval_steps > 0 &&
      recipe.num_eval_steps <= (images.size() - 1) / recipe.eval_batch_size)
    order.resize(recipe.num_eval_steps * recipe.eval_batch_size);
  const auto total = static_cast<int64_t>(order.size());
  Loader loader(
      images, std::move(order),
      [&recipe, kind = images.kind()](const Sample& sample, int64_t) {
        return evaluation_input(sample, recipe, kind);
      },
      recipe.preprocessing, options);

  Metrics metrics(recipe.num_classes);
  Showcase showcase(total);
  const torch::NoGradGuard no_grad;
  net.eval();
  const torch::Device device = device_of(net);
  Progress progress("evaluation", total);
  while (std::optional<Batch> batch = loader.next()) {
    if (stop() != 0) return std::nullopt;
    const torch::Tensor logits =
        net.forward(moved(images_tensor(*batch), device)).to(torch::kCPU).contiguous();  // [B, K]
    if (!match.empty())
      for (int& label : batch->labels) label = match.at(label);
    const std::span<const float> rows(logits.data_ptr<float>(), logits.numel());
    metrics.add(rows, batch->labels);
    showcase.add(rows, batch->labels, batch->indices);
    loader.recycle(std::move(*batch));
    if (progress.due())
      progress.update(metrics.count(), fmt::format("top-1 {:.2f} %", metrics.top1()));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return Evaluation{metrics.top1(), metrics.top5(),   metrics.loss(),     metrics.count(),
                    took.count(),   loader.skipped(), std::move(metrics), std::move(showcase)};
}

void log_evaluation(RunLog& log, int64_t step, double epoch, const Evaluation& evaluation) {
  log.write("eval", {{"step", step},
                     {"epoch", epoch},
                     {"accuracy", evaluation.top1 / 100},
                     {"top1", evaluation.top1},
                     {"top5", evaluation.top5},
                     {"eval_loss", evaluation.loss},
                     {"images", evaluation.images},
                     {"images_per_s", static_cast<double>(evaluation.images) /
                                          std::max(evaluation.seconds, 1e-9)}});
}

}  // namespace nestvit::train

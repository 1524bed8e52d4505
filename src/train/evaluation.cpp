// The evaluation that training runs between epochs.
#include "train/evaluation.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "data/loader.h"
#include "report/metrics.h"
#include "train/bridge.h"
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
  const torch::NoGradGuard no_grad;
  net.eval();
  Progress progress("evaluation", total);
  while (std::optional<Batch> batch = loader.next()) {
    if (stop() != 0) return std::nullopt;
    const torch::Tensor logits = net.forward(images_tensor(*batch)).contiguous();  // [B, K]
    if (!match.empty())
      for (int& label : batch->labels) label = match.at(label);
    metrics.add({logits.data_ptr<float>(), static_cast<size_t>(logits.numel())},
                {batch->labels.data(), static_cast<size_t>(batch->size)});
    loader.recycle(std::move(*batch));
    if (progress.due())
      progress.update(metrics.count(), fmt::format("top-1 {:.2f} %", metrics.top1()));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return Evaluation{metrics.top1(),  metrics.top5(), metrics.loss(),
                    metrics.count(), took.count(),   loader.skipped()};
}

}  // namespace nestvit::train

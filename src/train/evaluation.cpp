// The evaluation that training runs between epochs.
#include "train/evaluation.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "base/log.h"
#include "data/loader.h"
#include "run/input/pixels.h"
#include "train/device/device.h"
#include "train/network/tensors.h"

namespace nestvit::train {

using Names = std::vector<std::pair<std::string, std::string>>;  // image, reason

namespace {

// The images that this process evaluates, consecutive ones, since files that lie side by side are
// read faster.
std::vector<int64_t> shard_of(int64_t total, const Group& group) {
  const int64_t first = total * group.rank() / group.world_size();
  std::vector<int64_t> shard = in_order(total * (group.rank() + 1) / group.world_size() - first);
  for (int64_t& index : shard) index += first;
  return shard;
}

int64_t images_to_evaluate(int64_t images, const Recipe& recipe) {
  const bool all =
      recipe.num_eval_steps <= 0 || recipe.num_eval_steps > (images - 1) / recipe.eval_batch_size;
  return all ? images : recipe.num_eval_steps * recipe.eval_batch_size;
}

Metrics merge(const Metrics& mine, const Group& group) {
  if (group.world_size() == 1) return mine;
  Metrics all(mine.classes());
  for (const std::string& packed : group.all_gather(mine.packed())) all.merge_packed(packed);
  return all;
}

ExamplePicks merge(const ExamplePicks& mine, int64_t total, const Group& group) {
  ExamplePicks all(total);
  for (const std::string& packed : group.all_gather(mine.packed())) all.add_packed(packed);
  return all;
}

}  // namespace

Names gather_skipped(const Names& mine, const Group& group) {
  std::string packed;
  for (const auto& [image, reason] : mine) packed += image + '\0' + reason + '\0';
  Names all;
  for (const std::string& part : group.all_gather(packed)) {
    for (size_t at = 0; at < part.size();) {
      const std::string image = part.c_str() + at, reason = part.c_str() + at + image.size() + 1;
      all.emplace_back(image, reason);
      at += image.size() + reason.size() + 2;
    }
  }
  return all;
}

std::optional<Evaluation> evaluate(Network& net, const Dataset& images, const Recipe& recipe,
                                   const EvaluationOptions& options, const Group& group) {
  const auto start = std::chrono::steady_clock::now();
  LoaderOptions loading;
  loading.batch_size = recipe.eval_batch_size;
  loading.workers = options.workers;
  loading.on_bad_image = recipe.data.on_bad_image;
  const int64_t total = images_to_evaluate(images.size(), recipe);
  Loader loader(
      images, shard_of(total, group),
      [&recipe, kind = images.kind()](const Sample& sample, int64_t) {
        return evaluation_input(sample, recipe, kind);
      },
      recipe.preprocessing, loading);

  Metrics metrics(recipe.num_classes);
  ExamplePicks examples(total);
  const torch::NoGradGuard no_grad;
  net.eval();
  const torch::Device device = device_of(net);
  Progress progress("evaluation", total);
  int stopped = 0;
  while (std::optional<Batch> batch = loader.next()) {
    stopped = options.stop();
    if (stopped != 0) break;
    const torch::Tensor logits =
        net.forward(moved(images_tensor(*batch), device)).to(torch::kCPU).contiguous();  // [B, K]
    if (!options.match.empty())
      for (int& label : batch->labels) label = options.match.at(label);
    const std::span<const float> rows(logits.data_ptr<float>(), logits.numel());
    metrics.add(rows, batch->labels);
    examples.add(rows, batch->labels, batch->indices);
    loader.recycle(std::move(*batch));
    if (progress.due())
      progress.update(metrics.count() * group.world_size(),
                      fmt::format("top-1 {:.2f} %", metrics.top1()));
  }
  if (group.all_reduce_max(stopped) != 0) return std::nullopt;
  metrics = merge(metrics, group);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return Evaluation{metrics.top1(),     metrics.top5(),
                    metrics.loss(),     metrics.count(),
                    took.count(),       gather_skipped(loader.skipped(), group),
                    std::move(metrics), merge(examples, total, group)};
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

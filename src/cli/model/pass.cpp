// Loader, forward, answer: the pipeline of predict and eval.
#include "cli/model/pass.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/check.h"
#include "base/log.h"
#include "image/transform.h"

namespace nestvit::cli {
namespace {

constexpr size_t kNamedBadImages = 20;  // the rest is counted only

void report_skipped(const std::vector<std::pair<std::string, std::string>>& skipped,
                    int64_t images) {
  for (size_t i = 0; i < std::min(skipped.size(), kNamedBadImages); ++i)
    log_warning(fmt::format("skipped: {}", skipped[i].second));
  if (skipped.size() > kNamedBadImages)
    log_warning(fmt::format("skipped {} more unreadable images", skipped.size() - kNamedBadImages));
  if (images == 0 && !skipped.empty())
    throw Error(fmt::format("none of the {} images could be read", skipped.size()));
}

}  // namespace

PassResult classify(const Pass& pass,
                    const std::function<void(const Batch&, std::span<const float>)>& on_batch) {
  const Preprocessing& preprocessing = pass.model.preprocessing;
  const auto total = static_cast<int64_t>(pass.order.size());
  Loader loader(
      pass.dataset, pass.order,
      [&preprocessing](const Sample& sample, int64_t) {
        return evaluation_pixels(sample, preprocessing);
      },
      preprocessing, pass.loader);

  PassResult result;
  std::optional<Progress> progress;
  if (!pass.progress.empty()) progress.emplace(pass.progress, total);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const auto detail = [&] {
    return fmt::format("{:.0f} images/s", static_cast<double>(result.images) / seconds());
  };
  while (std::optional<Batch> batch = loader.next()) {
    if (batch->size > 0) {
      const Output output = pass.forward(batch->images, batch->size, false);
      NESTVIT_CHECK(output.logits.size() ==
                    static_cast<size_t>(batch->size) * pass.model.config.num_classes);
      on_batch(*batch, output.logits);
    }
    result.images += batch->size;
    loader.recycle(std::move(*batch));
    if (progress && progress->due()) progress->update(result.images, detail());
  }
  result.seconds = seconds();
  if (progress) progress->finish(detail());
  report_skipped(loader.skipped(), result.images);
  for (const int k : classes_left_out(pass.dataset, loader.skipped()))
    log_warning(fmt::format("no image of class '{}' can be read", pass.dataset.classes().at(k)));
  return result;
}

}  // namespace nestvit::cli

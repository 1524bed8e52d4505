// Loader, forward, answer: the pipeline of predict and eval.
#include "cli/model/pass.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/check.h"
#include "base/log.h"
#include "cli/model/bad_images.h"
#include "image/transform.h"

namespace nestvit::cli {

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
  BadImages bad(pass.named_bad_images);
  const auto look = [&] {
    for (const auto& [name, reason] : loader.skipped(bad.count())) bad.add(name, reason);
  };
  const auto next = [&] {
    try {
      std::optional<Batch> batch = loader.next();
      look();
      return batch;
    } catch (const Error&) {
      look();
      throw;
    }
  };
  while (std::optional<Batch> batch = next()) {
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
  bad.end();
  result.skipped = static_cast<int64_t>(bad.count());
  result.lost_classes = classes_left_out(pass.dataset, loader.skipped());
  return result;
}

}  // namespace nestvit::cli

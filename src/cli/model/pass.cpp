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

// Names the images that are left out, and counts them.
class BadImages {
 public:
  explicit BadImages(size_t named) : named_(named) {}
  // Those that `loader` found since the last look.
  void look(const Loader& loader) {
    for (const auto& [name, reason] : loader.skipped(count_))
      if (++count_ <= named_)
        log_warning(fmt::format(
            "skipped: {}", reason.find(name) == std::string::npos ? name + ": " + reason : reason));
  }
  void end() const {
    if (count_ > named_)
      log_warning(fmt::format("skipped {} more unreadable images", count_ - named_));
  }
  size_t count() const { return count_; }

 private:
  size_t named_, count_ = 0;
};

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
  BadImages bad(pass.named_bad_images);
  const auto next = [&] {
    try {
      std::optional<Batch> batch = loader.next();
      bad.look(loader);
      return batch;
    } catch (const Error&) {
      bad.look(loader);
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

// One loader after the other over the endless sequence of epochs.
#include "run/input/batches.h"

#include <algorithm>
#include <span>

#include "base/random.h"
#include "run/input/pixels.h"
#include "run/recipe/plan.h"

namespace nestvit {
namespace {

// One loader serves at least this many samples, so that small data sets do not restart it every few
// batches.
constexpr int64_t kSamplesPerLoader = 1 << 18;

}  // namespace

Batches::Batches(const Recipe& recipe, const Dataset& images, int64_t last, int workers,
                 const BatchShard& shard)
    : recipe_(recipe),
      images_(images),
      order_(make_order(recipe, images)),
      last_(last),
      workers_(workers),
      shard_(shard),
      augmentation_(augment_settings(recipe), static_cast<uint64_t>(recipe.seed)),
      mix_(mix_settings(recipe)) {}

// The images of this process's batches, among the `count` images of all batches from `number` on.
std::vector<int64_t> Batches::indices(int64_t number, int64_t count) const {
  const int64_t size = recipe_.per_device_batch_size;
  std::vector<int64_t> all = order_->at((number - 1) * size, count);
  auto kept = all.begin();
  for (auto batch = all.begin(); batch != all.end(); batch += size, ++number)
    if (shard_.owns(number, step_batches(recipe_))) kept = std::copy_n(batch, size, kept);
  all.erase(kept, all.end());
  return all;
}

std::optional<Batch> Batches::next(int64_t number) {
  std::optional<Batch> batch;
  double waited = loader_ ? loader_->wait_seconds() : 0;
  if (loader_) batch = loader_->next();
  if (!batch) {
    open(number);
    waited = 0;
    batch = loader_->next();
  }
  last_wait_ = loader_->wait_seconds() - waited;
  return batch;
}

void Batches::open(int64_t number) {
  if (loader_) skipped_ = skipped();
  loader_.reset();  // its order is as large as the next one's
  const int64_t images = images_.images(), batch_size = recipe_.per_device_batch_size;
  const int64_t first = (number - 1) * batch_size;
  const int64_t wanted = std::max(images, kSamplesPerLoader) / batch_size * batch_size;
  const int64_t count = std::min(std::max(wanted, batch_size), last_ * batch_size - first);
  const auto seed = static_cast<uint64_t>(recipe_.seed);
  LoaderOptions options;
  options.batch_size = recipe_.per_device_batch_size;
  options.workers = workers_;
  options.on_bad_image = recipe_.data.on_bad_image;
  if (augmentation_.erases())
    options.finish = [this](std::span<float> chw, int64_t index) {
      augmentation_.finish(chw, recipe_.input_size, recipe_.input_size,
                           static_cast<uint64_t>(images_.epoch(index)),
                           static_cast<uint64_t>(images_.image(index)));
    };
  loader_.emplace(
      images_, indices(number, count),
      [this, seed, kind = images_.kind()](const Sample& sample, int64_t index) {
        const auto epoch = static_cast<uint64_t>(images_.epoch(index));
        const auto image = static_cast<uint64_t>(images_.image(index));
        Rng rng(seed, Purpose::kTransform, epoch, image);
        return augmentation_.pixels(training_input(sample, recipe_, kind, rng), epoch, image);
      },
      recipe_.preprocessing, options);
}

std::vector<float> Batches::targets(Batch& batch, int64_t number) const {
  if (!mix_) {
    std::vector<float> labels = one_hot(batch.labels, recipe_.num_classes);
    smooth(labels, recipe_.num_classes, recipe_.mix.smoothing);
    return labels;
  }
  Rng rng(static_cast<uint64_t>(recipe_.seed), Purpose::kMix, static_cast<uint64_t>(number));
  return mix(batch, recipe_.num_classes, *mix_, rng);
}

std::vector<std::pair<std::string, std::string>> Batches::skipped() const {
  std::vector<std::pair<std::string, std::string>> all = skipped_;
  if (loader_) {
    const auto now = loader_->skipped();
    all.insert(all.end(), now.begin(), now.end());
  }
  return all;
}

}  // namespace nestvit

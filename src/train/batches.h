// The training batches of a run, from any step on: order, decoding, augmentation, mixing. Batch s
// is a pure function of the recipe and s. Free of libtorch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/loader.h"
#include "train/augmentation.h"
#include "train/epoch_stream.h"
#include "train/recipe.h"

namespace nestvit::train {

class Batches {
 public:
  // `steps`: the last step of the run. Throws Error from next() for an image that cannot be read,
  // unless the recipe leaves such images out.
  Batches(const Recipe& recipe, const Dataset& images, int64_t steps, int workers);

  // Images and labels of `step`, the first being 1; steps follow one another. Empty when all its
  // images were left out.
  std::optional<Batch> next(int64_t step);
  // Soft labels [B, K] of `step`'s batch; mixes its images with them where the recipe says so.
  std::vector<float> targets(Batch& batch, int64_t step) const;
  void recycle(Batch batch) { loader_->recycle(std::move(batch)); }

  double last_wait() const { return last_wait_; }  // seconds that the last next() waited for images
  // Images that could not be read: name, reason. Grows.
  std::vector<std::pair<std::string, std::string>> skipped() const;

 private:
  void open(int64_t step);

  const Recipe& recipe_;
  EpochStream stream_;
  int64_t steps_;
  int workers_;
  Augmentation augmentation_;
  std::optional<MixSettings> mix_;
  std::optional<Loader> loader_;
  std::vector<std::pair<std::string, std::string>> skipped_;  // of loaders that are done
  double last_wait_ = 0;
};

}  // namespace nestvit::train

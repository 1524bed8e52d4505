// The training batches of a run, from any one on: order, decoding, augmentation, mixing. Batch b is
// a pure function of the recipe and b; step_batches() of them make an optimiser step, which the
// processes of a run share among themselves.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/loader.h"
#include "run/input/order.h"
#include "run/recipe/augmentation.h"
#include "run/recipe/recipe.h"

namespace nestvit {

// Which batches of a step belong to a process: every size-th from the rank-th on.
struct BatchShard {
  int rank = 0, size = 1;

  bool owns(int64_t number, int64_t step_batches) const {
    return (number - 1) % step_batches % size == rank;
  }
};

class Batches {
 public:
  // `last`: the number of the run's last batch. Throws Error from next() for an image that cannot
  // be read, unless the recipe leaves such images out.
  Batches(const Recipe& recipe, const Dataset& images, int64_t last, int workers,
          const BatchShard& shard = {});

  // Images and labels of batch `number`, the first being 1; those of this process follow one
  // another. Empty when all its images were left out.
  std::optional<Batch> next(int64_t number);
  // Soft labels [B, K] of the batch; mixes its images with them where the recipe says so.
  std::vector<float> targets(Batch& batch, int64_t number) const;
  void recycle(Batch batch) { loader_->recycle(std::move(batch)); }

  double last_wait() const { return last_wait_; }  // seconds that the last next() waited for images
  // Images that could not be read: name, reason. Grows.
  std::vector<std::pair<std::string, std::string>> skipped() const;

 private:
  void open(int64_t number);
  std::vector<int64_t> indices(int64_t number, int64_t count) const;

  const Recipe& recipe_;
  RepeatedImages images_;
  std::unique_ptr<Order> order_;
  int64_t last_;
  int workers_;
  BatchShard shard_;
  Augmentation augmentation_;
  std::optional<MixSettings> mix_;
  std::optional<Loader> loader_;
  std::vector<std::pair<std::string, std::string>> skipped_;  // of loaders that are done
  double last_wait_ = 0;
};

}  // namespace nestvit

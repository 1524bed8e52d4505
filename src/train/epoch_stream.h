// The training images epoch after epoch as one endless data set, so that batches straddle epoch
// borders as in the reference and every sample knows its epoch: index = epoch * images + image.
#pragma once

#include <limits>
#include <vector>

#include "data/dataset.h"

namespace nestvit::train {

class EpochStream : public Dataset {
 public:
  explicit EpochStream(const Dataset& images) : images_(images) {}
  int64_t size() const override { return std::numeric_limits<int64_t>::max(); }
  Sample get(int64_t index) const override { return images_.get(image(index)); }
  int label(int64_t index) const override { return images_.label(image(index)); }
  std::string name(int64_t index) const override { return images_.name(image(index)); }
  const std::vector<std::string>& classes() const override { return images_.classes(); }
  std::string kind() const override { return images_.kind(); }

  int64_t images() const { return images_.size(); }
  int64_t image(int64_t index) const { return index % images_.size(); }
  int64_t epoch(int64_t index) const { return index / images_.size(); }

 private:
  const Dataset& images_;
};

// Stream indices of `count` samples from position `first` on: each epoch holds every image once, in
// an order that is a pure function of (seed, epoch).
std::vector<int64_t> stream_order(int64_t images, uint64_t seed, int64_t first, int64_t count);

}  // namespace nestvit::train

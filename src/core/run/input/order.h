// The training images epoch after epoch as one endless data set, so that batches straddle epoch
// borders as in the reference and every sample knows its epoch: index = epoch * images + image.
#pragma once

#include <limits>
#include <vector>

#include "data/dataset.h"

namespace nestvit {

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

// The order for data in shards: an epoch goes through the shards in random order and shuffles what
// it meets in windows of `window` samples, so that reading stays sequential on the whole; no sample
// moves further than a window. A pure function of (seed, epoch). What is asked for costs time and
// memory for itself, one window and the list of shards, wherever it lies.
class WindowOrder {
 public:
  // Throws UsageError for data that is not in shards.
  WindowOrder(const Dataset& images, uint64_t seed, int64_t window);
  // As stream_order.
  std::vector<int64_t> order(int64_t first, int64_t count) const;

 private:
  struct Span {
    int64_t position, image, count;  // `count` images from `image` on, at `position` of the epoch
  };
  std::vector<Span> spans(int64_t epoch) const;
  void append(int64_t epoch, int64_t begin, int64_t end, std::vector<int64_t>& order) const;

  int64_t images_;
  uint64_t seed_;
  int64_t window_;
  std::vector<int64_t> starts_;  // of shards
};

// The order where every class comes equally often: an epoch is as long as ever, images of rare
// classes come several times in it, those of frequent ones in turns. A class is gone through image
// by image, each pass in another order, so that index / images counts the times that an image came
// before, and every time it is transformed in another way. A pure function of (seed, epoch).
class BalancedOrder {
 public:
  BalancedOrder(const Dataset& images, uint64_t seed);
  // As stream_order.
  std::vector<int64_t> order(int64_t first, int64_t count) const;

 private:
  std::vector<int64_t> epoch(int64_t number) const;

  int64_t images_;
  uint64_t seed_;
  std::vector<std::vector<int64_t>> classes_;  // image numbers, of classes that have any
};

}  // namespace nestvit

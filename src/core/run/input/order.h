// The order in which a run draws its training images. All epochs are one endless sequence, so that
// batches straddle epoch borders as in the reference and every sample knows its epoch.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "run/recipe/recipe.h"

namespace nestvit {

// The images epoch after epoch: index = epoch * images + image.
class RepeatedImages : public Dataset {
 public:
  explicit RepeatedImages(const Dataset& images) : images_(images) {}
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

// Which of the RepeatedImages stands at which position. A pure function of the seed.
class Order {
 public:
  virtual ~Order() = default;
  // The indices of `count` samples from position `first` on.
  virtual std::vector<int64_t> at(int64_t first, int64_t count) const = 0;
};

// The order that the recipe asks for. Throws UsageError as WindowOrder.
std::unique_ptr<Order> make_order(const Recipe& recipe, const Dataset& images);

// Each epoch holds every image once, shuffled.
class ShuffledOrder : public Order {
 public:
  ShuffledOrder(int64_t images, uint64_t seed) : images_(images), seed_(seed) {}
  std::vector<int64_t> at(int64_t first, int64_t count) const override;

 private:
  int64_t images_;
  uint64_t seed_;
};

// For data in shards: an epoch goes through the shards in random order and shuffles the images in
// windows of `window` samples, so that reading stays sequential on the whole; no sample moves
// further than a window. Takes the time and memory of the samples that are asked for, one window
// and the list of shards, at any position.
class WindowOrder : public Order {
 public:
  // Throws UsageError for data that is not in shards.
  WindowOrder(const Dataset& images, uint64_t seed, int64_t window);
  std::vector<int64_t> at(int64_t first, int64_t count) const override;

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

// Every class comes equally often in an epoch of unchanged length: images of rare classes come
// several times, those of frequent classes in turns. A class is gone through image by image, each
// pass in another order, so that index / images counts how often an image came before, and each
// time it is transformed differently.
class BalancedOrder : public Order {
 public:
  BalancedOrder(const Dataset& images, uint64_t seed);
  std::vector<int64_t> at(int64_t first, int64_t count) const override;

 private:
  std::vector<int64_t> epoch(int64_t number) const;

  int64_t images_;
  uint64_t seed_;
  std::vector<std::vector<int64_t>> classes_;  // image numbers, of classes that have any
};

}  // namespace nestvit

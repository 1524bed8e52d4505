// Shuffled, windowed and balanced orders, over epoch borders.
#include "run/input/order.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/random.h"
#include "data/loader.h"

namespace nestvit {
namespace {

// `count` entries from position `first` on, of epochs of `images` entries each; `epoch` makes one.
template <class F>
std::vector<int64_t> over_epochs(int64_t images, int64_t first, int64_t count, F epoch) {
  std::vector<int64_t> order;
  while (count > 0) {
    const int64_t offset = first % images;
    const int64_t taken = std::min(count, images - offset);
    std::vector<int64_t> whole = epoch(first / images);
    if (order.empty() && taken == count && taken == images) return whole;  // hold it once
    order.insert(order.end(), whole.begin() + offset, whole.begin() + offset + taken);
    first += taken;
    count -= taken;
  }
  return order;
}

}  // namespace

std::unique_ptr<Order> make_order(const Recipe& recipe, const Dataset& images) {
  const auto seed = static_cast<uint64_t>(recipe.seed);
  if (recipe.data.sampler == Sampler::kBalanced)
    return std::make_unique<BalancedOrder>(images, seed);
  if (recipe.data.shuffle_window > 0)
    return std::make_unique<WindowOrder>(images, seed, recipe.data.shuffle_window);
  return std::make_unique<ShuffledOrder>(images.size(), seed);
}

std::vector<int64_t> ShuffledOrder::at(int64_t first, int64_t count) const {
  return over_epochs(images_, first, count, [this](int64_t epoch) {
    std::vector<int64_t> order = shuffled(images_, seed_, static_cast<uint64_t>(epoch));
    for (int64_t& index : order) index += epoch * images_;
    return order;
  });
}

WindowOrder::WindowOrder(const Dataset& images, uint64_t seed, int64_t window)
    : images_(images.size()), seed_(seed), window_(window), starts_(images.shard_starts()) {
  if (starts_.empty())
    throw UsageError(
        fmt::format("data.shuffle_window is {}, and this {} lies in no shards", window,
                    images.kind()),
        "it is for TFDS and WebDataset; leave it out: other data is shuffled as a whole");
}

// The shards in the order of the epoch.
std::vector<WindowOrder::Span> WindowOrder::spans(int64_t epoch) const {
  std::vector<Span> spans;
  int64_t position = 0;
  for (const int64_t shard : shuffled(std::ssize(starts_), seed_, static_cast<uint64_t>(epoch))) {
    const int64_t begin = starts_[shard];
    const int64_t end = shard + 1 < std::ssize(starts_) ? starts_[shard + 1] : images_;
    spans.push_back({position, begin, end - begin});
    position += end - begin;
  }
  return spans;
}

// Appends the positions begin .. end - 1 of the epoch, window by window.
void WindowOrder::append(int64_t epoch, int64_t begin, int64_t end,
                         std::vector<int64_t>& order) const {
  const std::vector<Span> spans = this->spans(epoch);
  for (int64_t window = begin / window_; window * window_ < end; ++window) {
    const int64_t start = window * window_, size = std::min(window_, images_ - start);
    std::vector<int64_t> places = in_order(size);
    Rng rng(seed_, Purpose::kShuffle, static_cast<uint64_t>(epoch),
            static_cast<uint64_t>(window) + 1);
    for (int64_t i = size - 1; i > 0; --i)
      std::swap(places[i], places[rng.below(static_cast<uint64_t>(i) + 1)]);
    for (int64_t i = std::max(begin - start, int64_t{0}); i < std::min(size, end - start); ++i) {
      const int64_t position = start + places[i];
      const Span& span = *std::prev(
          std::upper_bound(spans.begin(), spans.end(), position,
                           [](int64_t p, const Span& other) { return p < other.position; }));
      order.push_back(epoch * images_ + span.image + (position - span.position));
    }
  }
}

std::vector<int64_t> WindowOrder::at(int64_t first, int64_t count) const {
  std::vector<int64_t> order;
  order.reserve(count);
  while (count > 0) {
    const int64_t offset = first % images_, taken = std::min(count, images_ - offset);
    append(first / images_, offset, offset + taken, order);
    first += taken;
    count -= taken;
  }
  return order;
}

BalancedOrder::BalancedOrder(const Dataset& images, uint64_t seed)
    : images_(images.size()), seed_(seed), classes_(images.classes().size()) {
  for (int64_t i = 0; i < images_; ++i) classes_.at(images.label(i)).push_back(i);
  std::erase_if(classes_, [](const auto& members) { return members.empty(); });
}

std::vector<int64_t> BalancedOrder::at(int64_t first, int64_t count) const {
  return over_epochs(images_, first, count, [this](int64_t number) { return epoch(number); });
}

std::vector<int64_t> BalancedOrder::epoch(int64_t number) const {
  const auto classes = static_cast<int64_t>(classes_.size());
  std::vector<int64_t> drawn;
  drawn.reserve(images_);
  for (int64_t c = 0; c < classes; ++c) {
    const int64_t share = images_ * (c + 1) / classes - images_ * c / classes;
    const std::vector<int64_t>& members = classes_[c];
    const auto size = static_cast<int64_t>(members.size());
    const std::vector<int64_t> turns = over_epochs(size, number * share, share, [&](int64_t pass) {
      // Another seed per class: their passes must not be one permutation.
      std::vector<int64_t> order =
          shuffled(size, seed_ + 0x9e3779b97f4a7c15 * static_cast<uint64_t>(c + 1),
                   static_cast<uint64_t>(pass));
      for (int64_t& i : order) i = pass * images_ + members[i];
      return order;
    });
    drawn.insert(drawn.end(), turns.begin(), turns.end());
  }
  std::vector<int64_t> order;
  order.reserve(images_);
  for (const int64_t i : shuffled(images_, seed_, static_cast<uint64_t>(number)))
    order.push_back(drawn[i]);
  return order;
}

}  // namespace nestvit

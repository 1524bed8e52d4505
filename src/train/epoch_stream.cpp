// The order of the samples, over epoch borders.
#include "train/epoch_stream.h"

#include <algorithm>

#include "data/loader.h"

namespace nestvit::train {

namespace {

// `count` entries from position `first` on of epochs of `images` entries each, which `epoch` makes.
template <class F>
std::vector<int64_t> over_epochs(int64_t images, int64_t first, int64_t count, F epoch) {
  std::vector<int64_t> order;
  order.reserve(count);
  while (count > 0) {
    const int64_t offset = first % images;
    const int64_t taken = std::min(count, images - offset);
    const std::vector<int64_t> whole = epoch(first / images);
    order.insert(order.end(), whole.begin() + offset, whole.begin() + offset + taken);
    first += taken;
    count -= taken;
  }
  return order;
}

}  // namespace

std::vector<int64_t> stream_order(int64_t images, uint64_t seed, int64_t first, int64_t count) {
  return over_epochs(images, first, count, [&](int64_t epoch) {
    std::vector<int64_t> order = shuffled(images, seed, static_cast<uint64_t>(epoch));
    for (int64_t& index : order) index += epoch * images;
    return order;
  });
}

BalancedOrder::BalancedOrder(const Dataset& images, uint64_t seed)
    : images_(images.size()), seed_(seed), classes_(images.classes().size()) {
  for (int64_t i = 0; i < images_; ++i) classes_.at(images.label(i)).push_back(i);
  std::erase_if(classes_, [](const auto& members) { return members.empty(); });
}

std::vector<int64_t> BalancedOrder::order(int64_t first, int64_t count) const {
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

}  // namespace nestvit::train

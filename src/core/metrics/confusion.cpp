// Counting in a map by (label, predicted).
#include "metrics/confusion.h"

#include <algorithm>
#include <set>

#include "base/check.h"

namespace nestvit {

void Confusion::add(int label, int predicted, int64_t count) {
  NESTVIT_CHECK(label >= 0 && label < classes_ && predicted >= 0 && predicted < classes_);
  if (count != 0) counts_[{label, predicted}] += count;
}

void Confusion::merge(const Confusion& other) {
  NESTVIT_CHECK(classes_ == other.classes_);
  for (const auto& [pair, count] : other.counts_) counts_[pair] += count;
}

int64_t Confusion::count(int label, int predicted) const {
  const auto found = counts_.find({label, predicted});
  return found == counts_.end() ? 0 : found->second;
}

std::vector<ConfusedPair> Confusion::pairs() const {
  std::vector<ConfusedPair> pairs;
  pairs.reserve(counts_.size());
  for (const auto& [pair, count] : counts_) pairs.push_back({pair.first, pair.second, count});
  return pairs;
}

std::vector<ConfusedPair> Confusion::mistakes(size_t most) const {
  std::vector<ConfusedPair> mistakes = pairs();
  std::erase_if(mistakes, [](const ConfusedPair& pair) { return pair.label == pair.predicted; });
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const ConfusedPair& a, const ConfusedPair& b) { return a.count > b.count; });
  mistakes.resize(std::min(mistakes.size(), most));
  return mistakes;
}

std::vector<int64_t> Confusion::images_per_class() const {
  std::vector<int64_t> images(static_cast<size_t>(classes_));
  for (const auto& [pair, count] : counts_) images[static_cast<size_t>(pair.first)] += count;
  return images;
}

std::vector<int> Confusion::most_confused_classes(size_t most) const {
  std::vector<ConfusedPair> order = mistakes(counts_.size());
  const std::ptrdiff_t wrong = std::ssize(order);
  for (const ConfusedPair& pair : pairs())
    if (pair.label == pair.predicted) order.push_back(pair);
  std::stable_sort(order.begin() + wrong, order.end(),
                   [](const ConfusedPair& a, const ConfusedPair& b) { return a.count > b.count; });
  std::set<int> classes;
  for (const ConfusedPair& pair : order)
    for (const int k : {pair.label, pair.predicted})
      if (classes.size() < most) classes.insert(k);
  return {classes.begin(), classes.end()};
}

}  // namespace nestvit

// How often images of each class were taken for each class. Only the pairs that occurred are kept,
// so memory follows the images and the classes, never the classes squared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace nestvit {

struct ConfusedPair {
  int label = 0, predicted = 0;
  int64_t count = 0;
  bool operator==(const ConfusedPair&) const = default;
};

class Confusion {
 public:
  Confusion() = default;
  explicit Confusion(int classes) : classes_(classes) {}
  void add(int label, int predicted, int64_t count = 1);
  void merge(const Confusion& other);

  int classes() const { return classes_; }
  bool empty() const { return counts_.empty(); }
  int64_t count(int label, int predicted) const;
  std::vector<ConfusedPair> pairs() const;  // by label, then by predicted
  // The pairs of two classes: most frequent first, equal ones as in pairs(). At most `most`.
  std::vector<ConfusedPair> mistakes(size_t most) const;
  std::vector<int64_t> images_per_class() const;  // [K], by true class
  // Ascending, at most `most`: the classes of the most frequent mistakes, then those with the most
  // right answers.
  std::vector<int> most_confused_classes(size_t most) const;

 private:
  int classes_ = 0;
  std::map<std::pair<int, int>, int64_t> counts_;  // label, predicted -> images; none is 0
};

}  // namespace nestvit

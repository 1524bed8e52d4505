// Mergeable evaluation metrics: each sample counted once, in any order, over any number of parts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nestvit {

struct ClassScores {
  int64_t support = 0;                       // examples of the class
  double precision = 0, recall = 0, f1 = 0;  // 0 where undefined
};

class Metrics {
 public:
  explicit Metrics(int classes);
  // logits [n, K], labels [n]. An answer's rank is the number of larger logits, and of equal ones
  // with a smaller index: a constant model scores chance, as with a stable top-k. NaN ranks last.
  void add(std::span<const float> logits, std::span<const int> labels);
  void merge(const Metrics& other);

  // All that add() counts, for adding up over processes.
  struct Sums {
    std::vector<int64_t> counts;  // images, top-1, top-5, then confusion()
    double loss = 0;
  };
  Sums sums() const;
  void set_sums(const Sums& sums);  // of as many classes

  int classes() const { return classes_; }
  int64_t count() const { return count_; }
  double top1() const;  // in percent
  double top5() const;
  double loss() const;  // mean cross-entropy (natural log)
  int64_t confusion(int label, int predicted) const;
  const std::vector<int64_t>& confusion() const { return confusion_; }  // [K, K], row = true class
  std::vector<ClassScores> per_class() const;

 private:
  int classes_;
  int64_t count_ = 0, correct1_ = 0, correct5_ = 0;
  double loss_ = 0;
  std::vector<int64_t> confusion_;  // [K, K], row = true class
};

// The loss of one row of logits, natural log.
double cross_entropy(std::span<const float> logits, int label);
// The softmax of one row of logits.
std::vector<float> softmax(std::span<const float> logits);
// The k largest, best first; ties by index.
std::vector<int> top_indices(std::span<const float> values, int k);

}  // namespace nestvit

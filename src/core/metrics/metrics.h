// Mergeable evaluation metrics: each sample counted once, in any order, over any number of parts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "metrics/confusion.h"

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

  // All that add() counted, as bytes, and merge() of these: for other processes on such a machine.
  std::string packed() const;
  void merge_packed(const std::string& other);

  int classes() const { return confusion_.classes(); }
  int64_t count() const { return count_; }
  double top1() const;  // in percent
  double top5() const;
  double loss() const;  // mean cross-entropy (natural log)
  const Confusion& confusion() const { return confusion_; }
  std::vector<ClassScores> per_class() const;

 private:
  int64_t count_ = 0, correct1_ = 0, correct5_ = 0;
  double loss_ = 0;
  Confusion confusion_;
};

// The loss of one row of logits, natural log.
double cross_entropy(std::span<const float> logits, int label);
// The softmax of one row of logits.
std::vector<float> softmax(std::span<const float> logits);
// The k largest, best first; ties by index.
std::vector<int> top_indices(std::span<const float> values, int k);

}  // namespace nestvit

// Top-k, loss and the confusion matrix, counted sample by sample.
#include "metrics/metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace nestvit {
namespace {

// Whether logit a at index i comes before logit b at index j: larger first, then the smaller index;
// NaN last, so that a broken model never counts as right.
bool before(float a, int i, float b, int j) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) == std::isnan(b) ? i < j : std::isnan(b);
  return a != b ? a > b : i < j;
}

int rank_of(std::span<const float> logits, int label) {
  if (std::isnan(logits[label])) return static_cast<int>(logits.size());
  int rank = 0;
  for (int i = 0; i < static_cast<int>(logits.size()); ++i)
    rank += i != label && before(logits[i], i, logits[label], label);
  return rank;
}

double ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

Metrics::Metrics(int classes)
    : classes_(classes), confusion_(static_cast<size_t>(classes) * classes, 0) {}

void Metrics::add(std::span<const float> logits, std::span<const int> labels) {
  NESTVIT_CHECK(logits.size() == labels.size() * classes_);
  for (size_t n = 0; n < labels.size(); ++n) {
    const auto row = logits.subspan(n * classes_, classes_);
    const int label = labels[n];
    NESTVIT_CHECK(label >= 0 && label < classes_);
    const int rank = rank_of(row, label);
    ++count_;
    correct1_ += rank < 1;
    correct5_ += rank < 5;
    loss_ += cross_entropy(row, label);
    ++confusion_[static_cast<size_t>(label) * classes_ + top_indices(row, 1)[0]];
  }
}

void Metrics::merge(const Metrics& other) {
  NESTVIT_CHECK(classes_ == other.classes_);
  count_ += other.count_;
  correct1_ += other.correct1_;
  correct5_ += other.correct5_;
  loss_ += other.loss_;
  for (size_t i = 0; i < confusion_.size(); ++i) confusion_[i] += other.confusion_[i];
}

Metrics::Sums Metrics::sums() const {
  Sums sums{{count_, correct1_, correct5_}, loss_};
  sums.counts.insert(sums.counts.end(), confusion_.begin(), confusion_.end());
  return sums;
}

void Metrics::set_sums(const Sums& sums) {
  NESTVIT_CHECK(sums.counts.size() == 3 + confusion_.size());
  count_ = sums.counts[0];
  correct1_ = sums.counts[1];
  correct5_ = sums.counts[2];
  loss_ = sums.loss;
  std::copy(sums.counts.begin() + 3, sums.counts.end(), confusion_.begin());
}

double Metrics::top1() const { return 100 * ratio(correct1_, count_); }
double Metrics::top5() const { return 100 * ratio(correct5_, count_); }
double Metrics::loss() const { return count_ == 0 ? 0 : loss_ / static_cast<double>(count_); }

int64_t Metrics::confusion(int label, int predicted) const {
  return confusion_.at(static_cast<size_t>(label) * classes_ + predicted);
}

std::vector<ClassScores> Metrics::per_class() const {
  std::vector<ClassScores> scores(classes_);
  for (int c = 0; c < classes_; ++c) {
    int64_t predicted = 0;
    for (int i = 0; i < classes_; ++i) {
      scores[c].support += confusion(c, i);
      predicted += confusion(i, c);
    }
    const int64_t right = confusion(c, c);
    scores[c].precision = ratio(right, predicted);
    scores[c].recall = ratio(right, scores[c].support);
    scores[c].f1 = ratio(2 * right, predicted + scores[c].support);
  }
  return scores;
}

double cross_entropy(std::span<const float> logits, int label) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - top);
  return std::log(sum) - (logits[label] - top);
}

std::vector<float> softmax(std::span<const float> logits) {
  std::vector<float> result(logits.size());
  if (logits.empty()) return result;
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - top);
  for (size_t i = 0; i < logits.size(); ++i)
    result[i] = static_cast<float>(std::exp(logits[i] - top) / sum);
  return result;
}

std::vector<int> top_indices(std::span<const float> values, int k) {
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  const auto kept = order.begin() + std::clamp<std::ptrdiff_t>(k, 0, std::ssize(order));
  std::partial_sort(order.begin(), kept, order.end(),
                    [&](int i, int j) { return before(values[i], i, values[j], j); });
  order.erase(kept, order.end());
  return order;
}

}  // namespace nestvit

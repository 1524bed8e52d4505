// Top-k, loss and the confusions, counted sample by sample.
#include "metrics/metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
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

Metrics::Metrics(int classes) : confusion_(classes) {}

void Metrics::add(std::span<const float> logits, std::span<const int> labels) {
  const int classes = this->classes();
  NESTVIT_CHECK(logits.size() == labels.size() * classes);
  for (size_t n = 0; n < labels.size(); ++n) {
    const auto row = logits.subspan(n * classes, classes);
    const int label = labels[n];
    NESTVIT_CHECK(label >= 0 && label < classes);
    const int rank = rank_of(row, label);
    ++count_;
    correct1_ += rank < 1;
    correct5_ += rank < 5;
    loss_ += cross_entropy(row, label);
    confusion_.add(label, top_indices(row, 1)[0]);
  }
}

void Metrics::merge(const Metrics& other) {
  confusion_.merge(other.confusion_);
  count_ += other.count_;
  correct1_ += other.correct1_;
  correct5_ += other.correct5_;
  loss_ += other.loss_;
}

std::string Metrics::packed() const {
  std::vector<int64_t> numbers = {count_, correct1_, correct5_, std::bit_cast<int64_t>(loss_)};
  for (const ConfusedPair& pair : confusion_.pairs())
    numbers.insert(numbers.end(), {pair.label, pair.predicted, pair.count});
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(int64_t)};
}

void Metrics::merge_packed(const std::string& other) {
  std::vector<int64_t> numbers(other.size() / sizeof(int64_t));
  NESTVIT_CHECK(numbers.size() >= 4 && (numbers.size() - 4) % 3 == 0);
  std::memcpy(numbers.data(), other.data(), numbers.size() * sizeof(int64_t));
  count_ += numbers[0];
  correct1_ += numbers[1];
  correct5_ += numbers[2];
  loss_ += std::bit_cast<double>(numbers[3]);
  for (size_t i = 4; i < numbers.size(); i += 3)
    confusion_.add(static_cast<int>(numbers[i]), static_cast<int>(numbers[i + 1]), numbers[i + 2]);
}

double Metrics::top1() const { return 100 * ratio(correct1_, count_); }
double Metrics::top5() const { return 100 * ratio(correct5_, count_); }
double Metrics::loss() const { return count_ == 0 ? 0 : loss_ / static_cast<double>(count_); }

std::vector<ClassScores> Metrics::per_class() const {
  const auto classes = static_cast<size_t>(this->classes());
  std::vector<ClassScores> scores(classes);
  std::vector<int64_t> predicted(classes), right(classes);
  for (const ConfusedPair& pair : confusion_.pairs()) {
    scores[pair.label].support += pair.count;
    predicted[pair.predicted] += pair.count;
    if (pair.label == pair.predicted) right[pair.label] = pair.count;
  }
  for (size_t c = 0; c < classes; ++c) {
    scores[c].precision = ratio(right[c], predicted[c]);
    scores[c].recall = ratio(right[c], scores[c].support);
    scores[c].f1 = ratio(2 * right[c], predicted[c] + scores[c].support);
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

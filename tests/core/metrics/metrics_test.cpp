// Metrics against counting by brute force.
#include "metrics/metrics.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;

struct Data {
  int classes;
  std::vector<float> logits;  // [n, classes]
  std::vector<int> labels;

  std::span<const float> row(size_t i) const {
    return std::span(logits).subspan(i * classes, classes);
  }
};

// Few distinct values, so that ties are common.
Data random_data(int classes, int count, uint64_t seed) {
  Rng rng(seed, Purpose::kTest);
  Data data{classes, {}, {}};
  for (int i = 0; i < count * classes; ++i)
    data.logits.push_back(static_cast<float>(rng.below(7)) * 0.5f - 1.5f);
  for (int i = 0; i < count; ++i) data.labels.push_back(static_cast<int>(rng.below(classes)));
  return data;
}

// Class indices, best first, by a stable sort.
std::vector<int> ranking(std::span<const float> row) {
  std::vector<int> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return row[i] > row[j]; });
  return order;
}

double brute_loss(std::span<const float> row, int label) {
  long double sum = 0;
  for (float logit : row) sum += std::exp(static_cast<long double>(logit) - row[label]);
  return static_cast<double>(std::log(sum));
}

class MetricsOfSize : public ::testing::TestWithParam<int> {};

TEST_P(MetricsOfSize, EqualsBruteForce) {
  const Data data = random_data(GetParam(), 500, 3);
  Metrics metrics(data.classes);
  metrics.add(data.logits, data.labels);

  int right1 = 0, right5 = 0;
  double loss = 0;
  std::vector<std::vector<int64_t>> confusion(data.classes, std::vector<int64_t>(data.classes));
  for (size_t i = 0; i < data.labels.size(); ++i) {
    const std::vector<int> order = ranking(data.row(i));
    const auto rank = std::find(order.begin(), order.end(), data.labels[i]) - order.begin();
    right1 += rank == 0;
    right5 += rank < 5;
    loss += brute_loss(data.row(i), data.labels[i]);
    ++confusion[data.labels[i]][order[0]];
  }
  EXPECT_EQ(metrics.count(), 500);
  EXPECT_DOUBLE_EQ(metrics.top1(), 100.0 * right1 / 500);
  EXPECT_DOUBLE_EQ(metrics.top5(), 100.0 * right5 / 500);
  EXPECT_NEAR(metrics.loss(), loss / 500, 1e-12 * 500);
  for (int i = 0; i < data.classes; ++i)
    for (int j = 0; j < data.classes; ++j)
      EXPECT_EQ(metrics.confusion().count(i, j), confusion[i][j]);
}

TEST_P(MetricsOfSize, PerClassScoresEqualBruteForce) {
  const Data data = random_data(GetParam(), 200, 4);
  Metrics metrics(data.classes);
  metrics.add(data.logits, data.labels);
  const std::vector<ClassScores> scores = metrics.per_class();
  ASSERT_EQ(scores.size(), data.classes);
  for (int c = 0; c < data.classes; ++c) {
    double support = 0, predicted = 0, right = 0;
    for (size_t i = 0; i < data.labels.size(); ++i) {
      const bool says = ranking(data.row(i))[0] == c, is = data.labels[i] == c;
      support += is;
      predicted += says;
      right += is && says;
    }
    const double precision = predicted > 0 ? right / predicted : 0;
    const double recall = support > 0 ? right / support : 0;
    EXPECT_EQ(static_cast<double>(scores[c].support), support);
    EXPECT_DOUBLE_EQ(scores[c].precision, precision);
    EXPECT_DOUBLE_EQ(scores[c].recall, recall);
    const double sum = precision + recall;
    EXPECT_NEAR(scores[c].f1, sum > 0 ? 2 * precision * recall / sum : 0, 1e-12);
  }
}

TEST_P(MetricsOfSize, MergedPartsEqualTheWhole) {
  const Data data = random_data(GetParam(), 101, 5);
  Metrics whole(data.classes), merged(data.classes), unpacked(data.classes);
  whole.add(data.logits, data.labels);
  for (size_t at = 0; at < data.labels.size();) {
    const size_t size = std::min<size_t>(1 + at % 13, data.labels.size() - at);
    Metrics part(data.classes);
    part.add(std::span(data.logits).subspan(at * data.classes, size * data.classes),
             std::span(data.labels).subspan(at, size));
    merged.merge(part);
    unpacked.merge_packed(part.packed());
    at += size;
  }
  for (const Metrics& sum : {merged, unpacked}) {
    EXPECT_EQ(sum.count(), whole.count());
    EXPECT_EQ(sum.top1(), whole.top1());
    EXPECT_EQ(sum.top5(), whole.top5());
    EXPECT_NEAR(sum.loss(), whole.loss(), 1e-12);
    EXPECT_EQ(sum.confusion().pairs(), whole.confusion().pairs());
  }
}

INSTANTIATE_TEST_SUITE_P(Classes, MetricsOfSize, ::testing::Values(2, 3, 5, 6, 10, 100),
                         ::testing::PrintToStringParamName());

TEST(Metrics, NothingCountedIsZero) {
  const Metrics metrics(3);
  EXPECT_EQ(metrics.count(), 0);
  EXPECT_EQ(metrics.top1(), 0);
  EXPECT_EQ(metrics.loss(), 0);
  EXPECT_EQ(metrics.per_class()[1].f1, 0);
}

TEST(Metrics, ConstantModelScoresChanceNotAll) {
  Metrics metrics(4);
  metrics.add(std::vector<float>(16, 0.25f), std::vector<int>{0, 1, 2, 3});
  EXPECT_DOUBLE_EQ(metrics.top1(), 25);
  EXPECT_NEAR(metrics.loss(), std::log(4), 1e-12);
}

TEST(Metrics, NotANumberIsNeverRight) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Metrics metrics(6);
  metrics.add(std::vector<float>(6, nan), std::vector<int>{2});
  metrics.add(std::vector<float>{1, 2, nan, 0, 0, 0}, std::vector<int>{2});
  EXPECT_EQ(metrics.top1(), 0);
  EXPECT_EQ(metrics.top5(), 0);
  EXPECT_TRUE(std::isnan(metrics.loss()));
}

TEST(Metrics, LossOfLargeLogitsDoesNotOverflow) {
  Metrics metrics(2);
  metrics.add(std::vector<float>{3e4f, -3e4f}, std::vector<int>{1});
  EXPECT_DOUBLE_EQ(metrics.loss(), 6e4);
}

TEST(Metrics, RefusesWrongSizesAndLabels) {
  Metrics metrics(3);
  EXPECT_THROW(metrics.add(std::vector<float>(5), std::vector<int>{0, 1}), std::logic_error);
  EXPECT_THROW(metrics.add(std::vector<float>(3), std::vector<int>{3}), std::logic_error);
  EXPECT_THROW(metrics.add(std::vector<float>(3), std::vector<int>{-1}), std::logic_error);
  EXPECT_THROW(metrics.merge(Metrics(4)), std::logic_error);
  EXPECT_THROW(metrics.merge_packed(metrics.packed() + std::string(8, '\0')), std::logic_error);
}

// A matrix of these would take 800 GB; what processes exchange follows the images.
TEST(Metrics, ManyClassesCostNoMatrix) {
  constexpr int kClasses = 316'000;
  Metrics metrics(kClasses);
  std::vector<float> logits(kClasses);
  for (int i = 0; i < 3; ++i) {
    logits[1000 * i] = static_cast<float>(i + 1);
    metrics.add(logits, std::vector<int>{2000});
  }
  EXPECT_NEAR(metrics.top1(), 100.0 / 3, 1e-9);
  EXPECT_LT(metrics.packed().size(), 200);
  const std::vector<ClassScores> scores = metrics.per_class();
  ASSERT_EQ(scores.size(), kClasses);
  EXPECT_EQ(scores[2000].support, 3);
  EXPECT_NEAR(scores[2000].recall, 1.0 / 3, 1e-12);
  EXPECT_EQ(scores[2000].precision, 1);
}

TEST(Softmax, SumsToOneAndKeepsRatios) {
  const std::vector<float> p = softmax(std::vector<float>{1000, 1000 + std::log(3.0f), -1000});
  EXPECT_NEAR(p[0] + p[1] + p[2], 1, 1e-6);
  EXPECT_NEAR(p[1] / p[0], 3, 3e-4);  // 1000 + log 3 is rounded to 2^-14
  EXPECT_EQ(p[2], 0);
}

TEST(TopIndices, BestFirstTiesByIndexNotANumberLast) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(top_indices(std::vector<float>{nan, 1, 3, 1, 2}, 4), ElementsAre(2, 4, 1, 3));
  EXPECT_THAT(top_indices(std::vector<float>{1, 2}, 9), ElementsAre(1, 0));
  EXPECT_TRUE(top_indices(std::vector<float>{1, 2}, 0).empty());
}

}  // namespace
}  // namespace nestvit

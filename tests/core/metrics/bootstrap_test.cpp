// Intervals against theory and hand-computed cases.
#include "metrics/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace nestvit {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Bootstrap, QuantilesAreLinearBetweenNeighbours) {
  const std::vector<double> values = {1, 2, 4, 8};
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile(values, 1), 8);
  EXPECT_EQ(quantile(values, 0.5), 3);
  EXPECT_DOUBLE_EQ(quantile(values, 0.25), 1.75);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(Bootstrap, TheIntervalOfAMeanIsThatOfTheNormalApproximation) {
  std::vector<double> values;
  Rng rng(1, Purpose::kTest);
  for (int i = 0; i < 400; ++i) values.push_back(3 + 2 * static_cast<double>(rng.normal()));
  double mean = 0, square = 0;
  for (const double value : values) mean += value / 400;
  for (const double value : values) square += (value - mean) * (value - mean) / 400;
  const double half = 1.959964 * std::sqrt(square / 400);
  const Estimate estimate = estimated(values);
  EXPECT_EQ(estimate.count, 400);
  EXPECT_NEAR(estimate.mean, mean, 1e-12);
  // 10,000 resamples know a 2.5 % quantile to about 0.03 standard errors.
  const double error = 0.1 * std::sqrt(square / 400);
  EXPECT_NEAR(estimate.interval.low, mean - half, error);
  EXPECT_NEAR(estimate.interval.high, mean + half, error);
}

TEST(Bootstrap, UndefinedValuesAreLeftOutAndPairsWithThem) {
  const std::vector<double> a = {1, kNan, 3, 8}, b = {0, 5, kNan, 4};
  const Estimate alone = estimated(a);
  EXPECT_EQ(alone.count, 3);
  EXPECT_EQ(alone.mean, 4);
  EXPECT_EQ(alone.median, 3);
  const Estimate difference = estimated_difference(a, b);
  EXPECT_EQ(difference.count, 2);
  EXPECT_EQ(difference.mean, 2.5);  // of 1 and 4
  EXPECT_EQ(difference.interval.low, 1);
  EXPECT_EQ(difference.interval.high, 4);
}

TEST(Bootstrap, APairedIntervalIsNarrowWhereTheRowsMoveTogether) {
  std::vector<double> a, b;
  Rng rng(2, Purpose::kTest);
  for (int i = 0; i < 200; ++i) {
    b.push_back(10 * static_cast<double>(rng.normal()));
    a.push_back(b.back() + 0.5 + 0.1 * static_cast<double>(rng.normal()));
  }
  EXPECT_TRUE(estimated(a).interval.meets(estimated(b).mean));
  EXPECT_FALSE(estimated_difference(a, b).interval.meets(0));
  EXPECT_TRUE(estimated_difference(a, a).interval.meets(0));
}

TEST(Bootstrap, ColumnsTogetherAreColumnsAlone) {
  const std::vector<std::vector<double>> columns = {
      {1, 2, 3, 5, 8}, {kNan, 4, kNan, 1, 0}, {kNan, kNan, kNan, kNan, kNan}};
  const std::vector<Estimate> together = estimated_columns(columns, {.resamples = 300});
  ASSERT_EQ(together.size(), 3u);
  for (size_t c = 0; c < 2; ++c) {
    const Estimate alone = estimated(columns[c], {.resamples = 300});
    EXPECT_EQ(together[c].mean, alone.mean);
    EXPECT_EQ(together[c].median, alone.median);
    EXPECT_EQ(together[c].interval.low, alone.interval.low);
    EXPECT_EQ(together[c].interval.high, alone.interval.high);
  }
  EXPECT_EQ(together[1].count, 3);
  EXPECT_EQ(together[2].count, 0);
  EXPECT_TRUE(std::isnan(together[2].interval.low));
  EXPECT_TRUE(estimated_columns({}).empty());
}

TEST(Bootstrap, NothingIsClaimedOfNothing) {
  const Estimate estimate = estimated({});
  EXPECT_EQ(estimate.count, 0);
  EXPECT_TRUE(std::isnan(estimate.mean));
  EXPECT_TRUE(estimate.interval.meets(0));
  EXPECT_TRUE(estimated(std::vector{kNan}).interval.meets(1));
}

TEST(Bootstrap, TheSeedDecides) {
  const std::vector<double> values = {1, 2, 3, 5, 8, 13};
  const Interval a = estimated(values, {.resamples = 100, .seed = 1}).interval;
  const Interval again = estimated(values, {.resamples = 100, .seed = 1}).interval;
  const Interval other = estimated(values, {.resamples = 100, .seed = 2}).interval;
  EXPECT_EQ(a.low, again.low);
  EXPECT_EQ(a.high, again.high);
  EXPECT_TRUE(a.low != other.low || a.high != other.high);
}

TEST(Bootstrap, AnyStatisticWillDo) {
  const std::vector<double> values = {0, 0, 0, 1};
  const Interval most = bootstrap_interval(4, [&](std::span<const int64_t> drawn) {
    EXPECT_EQ(drawn.size(), 4u);
    double largest = 0;
    for (const int64_t i : drawn) largest = std::max(largest, values.at(static_cast<size_t>(i)));
    return largest;
  });
  EXPECT_EQ(most.low, 0);  // drawn without the last: (3/4)^4 = 0.32 of the resamples
  EXPECT_EQ(most.high, 1);
}

}  // namespace
}  // namespace nestvit

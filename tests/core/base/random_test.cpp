// Random numbers: purity, separate streams, and distributions by their moments.
#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace nestvit {
namespace {

TEST(Random, IsAPureFunctionOfItsKey) {
  Rng a(1, Purpose::kTest, 2, 3), b(1, Purpose::kTest, 2, 3);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next_u32(), b.next_u32());
}

TEST(Random, StreamsDiffer) {
  std::set<uint32_t> first;
  for (uint64_t seed = 0; seed < 4; ++seed)
    for (Purpose purpose : {Purpose::kTest, Purpose::kShuffle})
      for (uint64_t epoch = 0; epoch < 4; ++epoch)
        for (uint64_t index = 0; index < 4; ++index)
          first.insert(Rng(seed, purpose, epoch, index).next_u32());
  EXPECT_EQ(first.size(), 4u * 2 * 4 * 4);
}

TEST(Random, UniformMoments) {
  Rng rng(7, Purpose::kTest);
  const int n = 200000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double x = rng.uniform();
    ASSERT_GE(x, 0);
    ASSERT_LT(x, 1);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(squares / n, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / n));
}

TEST(Random, NormalMoments) {
  Rng rng(8, Purpose::kTest);
  const int n = 200000;
  double sum = 0, squares = 0, truncated = 0;
  for (int i = 0; i < n; ++i) {
    const double x = rng.normal(), t = rng.truncated_normal();
    sum += x;
    squares += x * x;
    truncated += t * t;
    ASSERT_LT(std::abs(t), 2);
  }
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2.0 / n));
  EXPECT_NEAR(std::sqrt(truncated / n), 0.87963, 0.005);  // reference.md A.5
}

TEST(Random, BelowCoversItsRangeEvenly) {
  Rng rng(9, Purpose::kTest);
  int counts[7] = {};
  const int n = 70000;
  for (int i = 0; i < n; ++i) ++counts[rng.below(7)];
  for (int count : counts) EXPECT_NEAR(count, n / 7.0, 5 * std::sqrt(n / 7.0));
  EXPECT_EQ(rng.below(1), 0u);
}

}  // namespace
}  // namespace nestvit

// Orders of the training images: each holds what it promises, and any part of it is the same part
// of the whole.
#include "run/input/order.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <map>
#include <set>

#include "support/brightness.h"

namespace nestvit {
namespace {

TEST(ShuffledOrder, EveryEpochHoldsEveryImageOnceAndPositionsAreStable) {
  const std::vector<int64_t> whole = ShuffledOrder(10, 42).at(0, 35);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> part(whole.begin() + epoch * 10, whole.begin() + (epoch + 1) * 10);
    std::sort(part.begin(), part.end());
    for (int64_t i = 0; i < 10; ++i) EXPECT_EQ(part[i], epoch * 10 + i);
  }
  for (int64_t first = 0; first < 35; ++first)
    for (int64_t count = 0; first + count <= 35; ++count)
      EXPECT_EQ(ShuffledOrder(10, 42).at(first, count),
                std::vector<int64_t>(whole.begin() + first, whole.begin() + first + count));
  EXPECT_NE(ShuffledOrder(10, 43).at(0, 10), ShuffledOrder(10, 42).at(0, 10));
}

// 23 images in shards of 5, 1, 9 and 8.
class InShards : public Brightness {
 public:
  InShards() : Brightness(23) {}
  std::vector<int64_t> shard_starts() const override { return {0, 5, 6, 15}; }
};

TEST(WindowOrder, EveryEpochHoldsEveryImageOnceAndPositionsAreStable) {
  const InShards images;
  for (const int64_t window : {1, 2, 7, 22, 23, 100}) {
    const WindowOrder shuffle(images, 42, window);
    const std::vector<int64_t> whole = shuffle.at(0, 3 * 23);
    std::vector<int64_t> sorted = whole;
    for (int64_t epoch = 0; epoch < 3; ++epoch)
      std::sort(sorted.begin() + epoch * 23, sorted.begin() + (epoch + 1) * 23);
    for (int64_t i = 0; i < 3 * 23; ++i) EXPECT_EQ(sorted[i], i) << window;
    for (int64_t first = 0; first < 69; first += 4)
      for (int64_t count = 0; first + count <= 69; count += 3)
        EXPECT_EQ(shuffle.at(first, count),
                  std::vector<int64_t>(whole.begin() + first, whole.begin() + first + count));
    EXPECT_NE(WindowOrder(images, 43, window).at(0, 23), shuffle.at(0, 23));
  }
}

TEST(WindowOrder, ShardsComeOneAfterTheOther) {
  const InShards images;
  const std::vector<int64_t> starts = images.shard_starts();
  const auto shard = [&](int64_t index) {
    return std::upper_bound(starts.begin(), starts.end(), index % 23) - starts.begin();
  };
  const WindowOrder plain(images, 42, 1);
  std::set<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 40; ++epoch) {
    const std::vector<int64_t> whole = plain.at(epoch * 23, 23);
    std::vector<int64_t> seen;
    for (const int64_t index : whole)
      if (seen.empty() || seen.back() != shard(index)) seen.push_back(shard(index));
    EXPECT_EQ(seen.size(), 4u) << "each shard once, whole";
    orders.insert(seen);
  }
  EXPECT_GT(orders.size(), 12u) << "of 24 orders of four shards";
  // A window of 7 is what a window of 1 meets, shuffled.
  const std::vector<int64_t> whole = plain.at(0, 23), mixed = WindowOrder(images, 42, 7).at(0, 23);
  for (int64_t at = 0; at < 23; at += 7)
    EXPECT_TRUE(std::is_permutation(
        whole.begin() + at, whole.begin() + std::min<int64_t>(at + 7, 23), mixed.begin() + at));
  EXPECT_THROW(WindowOrder(Brightness(10), 42, 7), UsageError);
}

// 20 images, of which class 1 has 3 and class 2 none.
class Rare : public Dataset {
 public:
  int64_t size() const override { return 20; }
  Sample get(int64_t) const override { return {}; }
  int label(int64_t index) const override { return index % 7 == 3 ? 1 : 0; }
  std::string name(int64_t) const override { return ""; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string kind() const override { return "idx"; }

 private:
  std::vector<std::string> classes_ = {"common", "rare", "none"};
};

TEST(BalancedOrder, ClassesComeEquallyOftenAndNoImageIsLeftOut) {
  const Rare images;
  const BalancedOrder balanced(images, 42);
  const std::vector<int64_t> whole = balanced.at(0, 17 * 20);
  std::map<int64_t, int> times;
  for (int64_t epoch = 0; epoch < 17; ++epoch) {
    int rare = 0;
    for (int64_t i = epoch * 20; i < (epoch + 1) * 20; ++i) {
      rare += images.label(whole[i] % 20);
      ++times[whole[i] % 20];
    }
    EXPECT_EQ(rare, 10);
  }
  for (int64_t i = 0; i < 20; ++i) {  // 170 of 17 and of 3 images
    if (images.label(i) == 0) {
      EXPECT_EQ(times[i], 10) << i;
    }
    if (images.label(i) == 1) {
      EXPECT_NEAR(times[i], 170 / 3.0, 1) << i;
    }
  }
  std::set<int64_t> distinct(whole.begin(), whole.end());
  EXPECT_EQ(distinct.size(), whole.size()) << "no image is transformed alike twice";
  for (int64_t first : {0, 3, 19, 20, 21, 55})
    for (int64_t count : {0, 1, 20, 47})
      EXPECT_EQ(balanced.at(first, count),
                std::vector<int64_t>(whole.begin() + first, whole.begin() + first + count));
  EXPECT_NE(BalancedOrder(images, 43).at(0, 20), balanced.at(0, 20));
}

TEST(RepeatedImages, NamesAndLabelsAreTheImages) {
  const Brightness images(10);
  const RepeatedImages repeated(images);
  EXPECT_EQ(repeated.name(27), "image 7");
  EXPECT_EQ(repeated.label(27), 1);
  EXPECT_EQ(repeated.epoch(27), 2);
}

}  // namespace
}  // namespace nestvit

// Names of splits, and the seeded split: sizes, what it depends on, and how little it moves.
#include "data/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "support/errors.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;
using testing::expect_error;

// Items "a/0", "a/1", ... of class 0, "b/0", ... of class 1 and so on.
struct Items {
  explicit Items(const std::vector<int>& counts) {
    for (size_t c = 0; c < counts.size(); ++c)
      for (int i = 0; i < counts[c]; ++i)
        add(std::string(1, static_cast<char>('a' + c)) + "/" + std::to_string(i),
            static_cast<int>(c));
  }
  void add(const std::string& key, int label) {
    keys.push_back(key);
    labels.push_back(label);
  }
  std::vector<int64_t> part(Split split, double share = 0.2, uint64_t seed = 42) const {
    DatasetOptions options;
    options.root = "the/folder";
    options.val_share = share;
    options.seed = seed;
    const SplitItems items{std::ssize(keys), [this](int64_t i) { return keys[i]; },
                           [this](int64_t i) { return labels[i]; }};
    return seeded_part(items, options, split);
  }
  std::set<std::string> names(Split split, double share = 0.2, uint64_t seed = 42) const {
    std::set<std::string> found;
    for (const int64_t i : part(split, share, seed)) found.insert(keys[i]);
    return found;
  }
  std::vector<int> counts(Split split, double share = 0.2) const {
    std::map<int, int> found;
    for (const int64_t i : part(split, share)) ++found[labels[i]];
    std::vector<int> list;
    for (const auto& [label, count] : found) list.push_back(count);
    return list;
  }
  std::vector<std::string> keys;
  std::vector<int> labels;
};

TEST(SplitNames, AreKnownByEveryWord) {
  for (const char* word : {"train", "training", "trainval", "Train", "TRAINING"})
    EXPECT_EQ(parse_split(word), Split::kTrain);
  for (const char* word :
       {"val", "valid", "validation", "validate", "eval", "evaluation", "dev", "Val", "VALID"})
    EXPECT_EQ(parse_split(word), Split::kVal);
  for (const char* word : {"test", "testing", "Test"}) EXPECT_EQ(parse_split(word), Split::kTest);
  for (const char* word : {"", "tests", "all"}) EXPECT_FALSE(is_split(word)) << word;
  EXPECT_EQ(split_names(Split::kVal).front(), "val");
  expect_error<UsageError>([] { parse_split("tets"); }, {"unknown split 'tets'", "train, val"});
}

TEST(SeededPart, EveryItemIsInOnePart) {
  const Items items({50, 7, 2, 1});
  const auto train = items.part(Split::kTrain), val = items.part(Split::kVal);
  EXPECT_TRUE(std::is_sorted(train.begin(), train.end()));
  EXPECT_TRUE(std::is_sorted(val.begin(), val.end()));
  std::vector<int64_t> all = train;
  all.insert(all.end(), val.begin(), val.end());
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), 60u);
  for (int64_t i = 0; i < 60; ++i) EXPECT_EQ(all[i], i);
}

// A class of two or more has one in each part at least; a single item is for training.
TEST(SeededPart, EachClassGivesItsShare) {
  const Items items({50, 7, 2, 1});
  EXPECT_THAT(items.counts(Split::kTrain), ElementsAre(40, 6, 1, 1));
  EXPECT_THAT(items.counts(Split::kVal), ElementsAre(10, 1, 1));
  EXPECT_THAT(items.counts(Split::kVal, 0.99), ElementsAre(49, 6, 1));
  EXPECT_THAT(items.counts(Split::kVal, 1), ElementsAre(50, 7, 2, 1));
  EXPECT_THAT(items.counts(Split::kTrain, 0), ElementsAre(50, 7, 2, 1));
}

// Keys of shards are read from the samples: not where nothing depends on them.
TEST(SeededPart, AllImagesNeedNoKeys) {
  const SplitItems items{3, [](int64_t) -> std::string { throw std::logic_error("key"); },
                         [](int64_t) { return 0; }};
  DatasetOptions options;
  options.val_share = 1;
  EXPECT_THAT(seeded_part(items, options, Split::kVal), ElementsAre(0, 1, 2));
  options.val_share = 0;
  EXPECT_THAT(seeded_part(items, options, Split::kTrain), ElementsAre(0, 1, 2));
  options.val_share = 0.5;
  EXPECT_THROW(seeded_part(items, options, Split::kTrain), std::logic_error);
}

TEST(SeededPart, DependsOnKeysAndSeedNotOnTheOrder) {
  const Items items({100, 100});
  Items reversed({});
  for (size_t i = items.keys.size(); i-- > 0;) reversed.add(items.keys[i], items.labels[i]);
  EXPECT_EQ(reversed.names(Split::kVal), items.names(Split::kVal));
  EXPECT_EQ(items.names(Split::kVal), items.names(Split::kVal));
  EXPECT_NE(items.names(Split::kVal, 0.2, 43), items.names(Split::kVal));
}

TEST(SeededPart, OneMoreItemMovesAtMostOneOther) {
  Items items({100, 100});
  for (int step = 0; step < 50; ++step) {
    const auto before = items.names(Split::kVal);
    items.add("a/new " + std::to_string(step), 0);
    const auto after = items.names(Split::kVal);
    std::vector<std::string> gone;
    std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                        std::back_inserter(gone));
    EXPECT_LE(gone.size(), 1u) << step;
  }
}

// Each of 20,000 items is drawn with probability 0.2, whatever its name looks like: the first half
// of the names holds half of what is drawn, up to five standard deviations of the draw.
TEST(SeededPart, IsSpreadOverTheNames) {
  const Items items({20'000});
  const auto val = items.part(Split::kVal);
  const auto first_half =
      std::count_if(val.begin(), val.end(), [](int64_t i) { return i < 10'000; });
  EXPECT_EQ(val.size(), 4000u);
  EXPECT_NEAR(static_cast<double>(first_half), 2000, 5 * std::sqrt(4000 * 0.25));
}

TEST(SeededPart, SharesThatLeaveNothingAreErrors) {
  const Items items({3, 3});
  expect_error([&] { items.part(Split::kVal, 0); }, {"the/folder", "6 images", "none to 'val'"});
  expect_error([&] { items.part(Split::kTrain, 1); }, {"none to 'train'"});
  for (const double share : {-0.1, 1.1, std::nan("")})
    EXPECT_THROW(items.part(Split::kVal, share), UsageError) << share;
}

}  // namespace
}  // namespace nestvit

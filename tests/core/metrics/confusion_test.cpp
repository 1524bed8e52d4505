// Confusions as pairs: counts, order, and no memory for pairs that did not occur.
#include "metrics/confusion.h"

#include <gmock/gmock.h>

#include <stdexcept>

namespace nestvit {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Confusion confusion_of(int classes, const std::vector<ConfusedPair>& pairs) {
  Confusion confusion(classes);
  for (const ConfusedPair& pair : pairs) confusion.add(pair.label, pair.predicted, pair.count);
  return confusion;
}

TEST(Confusion, CountsPairs) {
  Confusion confusion(3);
  EXPECT_TRUE(confusion.empty());
  confusion.add(2, 0);
  confusion.add(0, 1, 4);
  confusion.add(2, 0);
  confusion.add(1, 1, 0);
  EXPECT_EQ(confusion.count(2, 0), 2);
  EXPECT_EQ(confusion.count(0, 2), 0);
  EXPECT_THAT(confusion.pairs(), ElementsAre(ConfusedPair{0, 1, 4}, ConfusedPair{2, 0, 2}));
  EXPECT_THAT(confusion.images_per_class(), ElementsAre(4, 0, 2));
}

TEST(Confusion, PartsAddUp) {
  Confusion all = confusion_of(2, {{0, 1, 3}});
  all.merge(confusion_of(2, {{0, 1, 2}, {1, 1, 5}}));
  EXPECT_THAT(all.pairs(), ElementsAre(ConfusedPair{0, 1, 5}, ConfusedPair{1, 1, 5}));
}

TEST(Confusion, MistakesComeMostFrequentFirst) {
  const Confusion confusion = confusion_of(4, {{0, 0, 90}, {0, 1, 2}, {1, 0, 7}, {3, 2, 2}});
  EXPECT_THAT(confusion.mistakes(9),
              ElementsAre(ConfusedPair{1, 0, 7}, ConfusedPair{0, 1, 2}, ConfusedPair{3, 2, 2}));
  EXPECT_THAT(confusion.mistakes(1), ElementsAre(ConfusedPair{1, 0, 7}));
  EXPECT_THAT(confusion.mistakes(0), IsEmpty());
}

TEST(Confusion, TheMostConfusedClassesComeBeforeThoseThatAreRight) {
  const Confusion confusion =
      confusion_of(9, {{0, 0, 90}, {1, 1, 95}, {2, 7, 1}, {5, 3, 8}, {3, 3, 1}});
  EXPECT_THAT(confusion.most_confused_classes(2), ElementsAre(3, 5));
  EXPECT_THAT(confusion.most_confused_classes(4), ElementsAre(2, 3, 5, 7));
  EXPECT_THAT(confusion.most_confused_classes(5), ElementsAre(1, 2, 3, 5, 7));
  EXPECT_THAT(confusion.most_confused_classes(9), ElementsAre(0, 1, 2, 3, 5, 7));
  EXPECT_THAT(Confusion(9).most_confused_classes(5), IsEmpty());
}

TEST(Confusion, RefusesClassesThatAreNotThere) {
  Confusion confusion(3);
  for (const auto& [label, predicted] : {std::pair(3, 0), {0, 3}, {-1, 0}, {0, -1}})
    EXPECT_THROW(confusion.add(label, predicted), std::logic_error);
  EXPECT_THROW(confusion.merge(Confusion(4)), std::logic_error);
}

// A matrix of these would take 32 exabytes.
TEST(Confusion, TwoBillionClassesCostNothing) {
  Confusion confusion(2'000'000'000);
  for (int i = 0; i < 1000; ++i) confusion.add(1'000'000 * i, 7);
  EXPECT_EQ(confusion.pairs().size(), 1000);
  EXPECT_EQ(confusion.mistakes(10).size(), 10);
  EXPECT_EQ(confusion.most_confused_classes(100).size(), 100);
}

}  // namespace
}  // namespace nestvit

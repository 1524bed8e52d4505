// The collective calls, of several processes and of one.
#include "train/group/group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "train/group/group_test.h"

namespace nestvit::train {
namespace {

using ::testing::ElementsAre;

TEST_F(GroupTest, AddsUpAndTells) {
  const auto errors = run(3, [](Group& group) {
    std::vector<double> sums = {1.0 * group.rank(), 0.5};
    group.all_reduce_sum(sums);
    EXPECT_THAT(sums, ElementsAre(3, 1.5));
    std::vector<int64_t> counts = {int64_t{1} << (40 + group.rank())};
    group.all_reduce_sum(counts);
    EXPECT_EQ(counts[0], int64_t{7} << 40);
    EXPECT_EQ(group.all_reduce_max(group.rank() == 1 ? 15 : 0), 15);
    const std::string mine(static_cast<size_t>(group.rank() * 3), 'x');
    EXPECT_THAT(
        group.all_gather(mine + std::string("\0y", 2)),
        ElementsAre(std::string("\0y", 2), std::string("xxx\0y", 5), std::string("xxxxxx\0y", 8)));
    EXPECT_EQ(group.broadcast(group.is_root() ? "word" : "not this"), "word");
    EXPECT_EQ(group.broadcast(""), "");
    group.finish();
  });
  EXPECT_THAT(errors, ElementsAre("", "", ""));
}

// A backend that is named is used, so one process can show that it works.
TEST_F(GroupTest, AloneItExchangesWithItselfWhenABackendIsNamed) {
  EXPECT_FALSE(Group(Launch()).exchanges());
  Group group(Launch(), {.backend = Backend::kGloo});
  EXPECT_TRUE(group.exchanges());
  std::vector<double> sums = {2};
  group.all_reduce_sum(sums);
  EXPECT_THAT(sums, ElementsAre(2));
  EXPECT_EQ(group.all_reduce_max(3), 3);
  EXPECT_THAT(group.all_gather("a"), ElementsAre("a"));
  group.finish();
}

TEST_F(GroupTest, AloneItIsAsIfItWereNotThere) {
  Group group;
  std::vector<double> sums = {2};
  group.all_reduce_sum(sums);
  EXPECT_THAT(sums, ElementsAre(2));
  EXPECT_EQ(group.all_reduce_max(3), 3);
  EXPECT_THAT(group.all_gather("a"), ElementsAre("a"));
  EXPECT_TRUE(group.report_failure("whatever"));
  group.finish();
}

}  // namespace
}  // namespace nestvit::train

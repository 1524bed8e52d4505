// Which rank failed, and the error that the others get.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "train/group/group_test.h"

namespace nestvit::train {
namespace {

using ::testing::HasSubstr;
using HeartbeatTest = GroupTest;

TEST_F(HeartbeatTest, ARankThatFailsIsNamedWithItsReason) {
  const auto errors = run(3, [](Group& group) {
    if (group.rank() == 1) {
      EXPECT_TRUE(group.report_failure("its disk is full"));
      return;
    }
    group.all_reduce_max(0);
  });
  for (const int rank : {0, 2}) {
    EXPECT_THAT(errors[rank], HasSubstr("rank 1"));
    EXPECT_THAT(errors[rank], HasSubstr("its disk is full"));
  }
}

TEST_F(HeartbeatTest, TheSameReasonIsSaidOnce) {
  std::mutex mutex;
  int speakers = 0;
  run(3, [&](Group& group) {
    const bool speaks = group.report_failure("no such folder");
    const std::lock_guard lock(mutex);
    speakers += speaks;
  });
  EXPECT_EQ(speakers, 1);
}

TEST_F(HeartbeatTest, WhoDoesNotComeInTimeIsNamed) {
  const auto errors = run(2, [](Group& group) {
    if (group.rank() == 0) std::this_thread::sleep_for(std::chrono::seconds(8));
    group.all_reduce_max(0);
  });
  EXPECT_THAT(errors[1], HasSubstr("rank 0"));
  EXPECT_THAT(errors[1], HasSubstr("did not join exchange"));
}

}  // namespace
}  // namespace nestvit::train

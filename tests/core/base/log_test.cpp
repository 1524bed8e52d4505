// Texts that people read.
#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nestvit {
namespace {

TEST(Log, HumanTexts) {
  EXPECT_EQ(human_duration(5), "0:05");
  EXPECT_EQ(human_duration(65.4), "1:05");
  EXPECT_EQ(human_duration(7390), "2:03:10");
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(6006730), "6,006,730");
  EXPECT_EQ(human_count(-1234), "-1,234");
}

TEST(Log, PlainProgressPrintsTheLastLineAlways) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("train", 10, 1000);
    progress.update(5, "loss 1");
    progress.finish("loss 0.5");
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, ::testing::HasSubstr("train 10/10 (100 %)"));
  EXPECT_THAT(text, ::testing::HasSubstr("loss 0.5"));
  EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("loss 1\n")));
}

}  // namespace
}  // namespace nestvit

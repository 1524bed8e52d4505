// Texts that people read.
#include "base/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

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

// What a terminal of `columns` is sent while `show` runs.
std::string sent(unsigned short columns, const std::function<void()>& show) {
  int terminal = -1, end = -1;
  winsize size{};
  size.ws_row = 24;
  size.ws_col = columns;
  EXPECT_EQ(openpty(&terminal, &end, nullptr, nullptr, &size), 0);
  const int before = dup(STDERR_FILENO);
  dup2(end, STDERR_FILENO);
  show();
  dup2(before, STDERR_FILENO);
  close(before);
  std::string text(4096, '\0');
  const ssize_t got = read(terminal, text.data(), text.size());
  close(end);
  close(terminal);
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

std::string drawn(unsigned short columns) {
  return sent(columns, [] { Progress("epoch 1/300", 10).finish("loss 0.5  1,234 images/s"); });
}

TEST(Log, AMessageTakesThePlaceOfTheBar) {
  const std::string text = sent(80, [] {
    Progress progress("eval", 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));  // until it is due
    progress.update(1, "");
    log_info("a message");
  });
  EXPECT_THAT(text, ::testing::EndsWith("\r\033[Ka message\r\n"));
}

TEST(Log, TheBarFitsEveryTerminal) {
  using ::testing::HasSubstr;
  const std::string start = "\r\033[K";
  for (const int columns : {1, 5, 12, 20, 21, 40, 80, 200}) {
    std::string line = drawn(static_cast<unsigned short>(columns));
    ASSERT_TRUE(line.starts_with(start)) << columns;
    line = line.substr(start.size());
    EXPECT_LT(static_cast<int>(line.substr(0, line.find('\r')).size()), columns) << line;
  }
  EXPECT_THAT(drawn(20), HasSubstr("epoch 1/300 100 %"));
  EXPECT_THAT(drawn(80), HasSubstr("[========================] 100 %"));
  EXPECT_THAT(drawn(0), HasSubstr("1,234 images/s")) << "a width that is not known";
}

TEST(Log, NobodyNeedsToListen) {
  const int before = dup(STDERR_FILENO), full = open("/dev/full", O_WRONLY);
  dup2(full, STDERR_FILENO);
  EXPECT_NO_THROW(log_info("lost"));
  EXPECT_NO_THROW(log_warning("lost"));
  EXPECT_NO_THROW(Progress("lost", 1).finish());
  dup2(before, STDERR_FILENO);
  close(before);
  close(full);
}

}  // namespace
}  // namespace nestvit

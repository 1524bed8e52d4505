// Event files: byte by byte, and read back by a separate parser.
#include "report/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>
#include <sys/resource.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <map>

#include "base/file.h"
#include "support/event_reader.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

class Events : public ::testing::Test {
 protected:
  EventOptions options() const { return {folder_.path(), {}, 1700000000.5, "host", 42}; }
  const testing::TempDir folder_;
};

TEST_F(Events, BytesAreThoseOfAHandMadeRecord) {
  EventWriter writer(options());
  writer.add_scalar("a/b", 0.5, 300, 2.0);
  writer.flush();
  EXPECT_EQ(writer.path().filename(), "events.out.tfevents.1700000000.host.42.0");

  using namespace std::string_literals;
  const std::string version =
      "\x09\x00\x00\x20\x40\xfc\x54\xd9\x41"s  // wall_time 1700000000.5
      "\x1a\x0d"s
      "brain.Event:2"s;
  const std::string event =
      "\x09\x00\x00\x00\x00\x00\x00\x00\x40"s  // wall_time 2
      "\x10\xac\x02"s                          // step 300
      "\x2a\x0c"s                              // summary, 12 bytes
      "\x0a\x0a"s                              // value, 10 bytes
      "\x0a\x03"s
      "a/b"s
      "\x15\x00\x00\x00\x3f"s;  // simple_value 0.5
  const auto crc = [](const std::string& text) {
    std::string bytes;
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(masked(text) >> shift);
    return bytes;
  };
  std::string expected;
  for (const std::string& payload : {version, event}) {
    const std::string length = static_cast<char>(payload.size()) + "\0\0\0\0\0\0\0"s;
    expected += length + crc(length) + payload + crc(payload);
  }
  EXPECT_EQ(read_text(writer.path()), expected);
}

TEST(TfRecordFrame, HasLengthAndBothCrcs) {
  const std::string frame = tfrecord_frame("foo");
  ASSERT_EQ(frame.size(), 8 + 4 + 3 + 4);
  EXPECT_EQ(records(frame), std::vector<std::string>{"foo"});
  EXPECT_EQ(records(tfrecord_frame("")), std::vector<std::string>{""});
}

TEST_F(Events, EveryValueAndStepComesBack) {
  EventWriter writer(options());
  const float big = std::numeric_limits<float>::max();
  std::vector<Scalar> expected;
  for (const int64_t step : {int64_t{0}, int64_t{1}, int64_t{127}, int64_t{128}, int64_t{1} << 40,
                             int64_t{-1}, std::numeric_limits<int64_t>::max()})
    expected.push_back({"tag", static_cast<float>(step), step, 0.25 * static_cast<double>(step)});
  expected.push_back({std::string(1000, 'x'), -0.0f, 1, 1e9});
  expected.push_back({"", big, 1, 0});
  for (const Scalar& s : expected) writer.add_scalar(s.tag, s.value, s.step, s.time);
  writer.flush();
  EXPECT_EQ(scalars(read_text(writer.path())), expected);
}

TEST_F(Events, ValuesThatAFloatCannotHold) {
  EventWriter writer(options());
  for (const double value : {1e300, -1e300, std::nan("")}) writer.add_scalar("v", value, 1);
  writer.flush();
  const auto found = scalars(read_text(writer.path()));
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].value, std::numeric_limits<float>::infinity());
  EXPECT_EQ(found[1].value, -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(found[2].value));
}

TEST_F(Events, TextIsAStringTensorOfThePluginText) {
  EventWriter writer(options());
  writer.add_text("recipe", "| a | b |", 1, 3);
  writer.flush();
  const auto payloads = records(read_text(writer.path()));
  ASSERT_EQ(payloads.size(), 2u);
  Parsed value = parse(parse(parse(payloads[1]).texts[5]).texts[1]);
  EXPECT_EQ(value.texts[1], "recipe");
  Parsed tensor = parse(value.texts[8]);
  EXPECT_EQ(tensor.numbers[1], 7u);  // DT_STRING
  EXPECT_EQ(tensor.texts[8], "| a | b |");
  EXPECT_EQ(parse(parse(value.texts[9]).texts[1]).texts[1], "text");
}

TEST_F(Events, AResumedRunOpensItsOwnFileAndSaysWhereItGoesOn) {
  EventWriter first(options());
  first.add_scalar("loss", 1, 10);
  first.flush();
  const std::string before = read_text(first.path());
  EventOptions again = options();
  again.resumed_at = 5;
  EventWriter second(again);
  // TensorBoard reads the files of a folder in the order of their names.
  EXPECT_GT(second.path().filename().string(), first.path().filename().string());
  second.add_scalar("loss", 2, 5);
  second.flush();
  EXPECT_EQ(read_text(first.path()), before);
  const auto payloads = records(read_text(second.path()));
  ASSERT_EQ(payloads.size(), 3u);
  Parsed start = parse(payloads[1]);
  EXPECT_EQ(start.numbers[2], 5u);
  EXPECT_EQ(parse(start.texts[7]).numbers[1], 1u);  // SessionLog.START
}

TEST_F(Events, WhatWasFlushedNeedsNoCloseAndACutTailCostsOneRecord) {
  EventWriter writer(options());
  for (int step = 0; step < 20; ++step) writer.add_scalar("loss", step, step);
  writer.flush();
  const std::string whole = read_text(writer.path());  // the writer is still open
  const auto all = scalars(whole);
  ASSERT_EQ(all.size(), 20u);
  for (size_t cut = 1; cut < 40; ++cut)
    EXPECT_GE(scalars(whole.substr(0, whole.size() - cut)).size(), 18u);
}

TEST_F(Events, NameFromThisHostAndProcess) {
  EventOptions mine;
  mine.folder = folder_ / "a" / "b";
  EventWriter writer(mine);
  EXPECT_EQ(writer.path().parent_path(), folder_ / "a" / "b");
  EXPECT_THAT(writer.path().filename().string(),
              ::testing::MatchesRegex("events\\.out\\.tfevents\\.[0-9]{10,}\\..+\\.[0-9]+\\.0"));
  mine.host = "../../escape";
  EXPECT_EQ(EventWriter(mine).path().parent_path(), folder_ / "a" / "b");
}

TEST_F(Events, AFolderThatCannotBeWrittenIsAnError) {
  write_file(folder_ / "file", std::string_view("x"));
  EventOptions wrong = options();
  wrong.folder = folder_ / "file";
  EXPECT_THROW(EventWriter{wrong}, Error);
}

TEST_F(Events, AFullDiskIsAnErrorWhenFlushed) {
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes stands for the full disk
  EventWriter writer(options());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  writer.add_scalar(std::string(1000, 'x'), 1, 1);
  EXPECT_THROW(writer.flush(), Error);
  setrlimit(RLIMIT_FSIZE, &before);
}

// Scalars of two sessions, and a text: tools/interop/check.py has TensorBoard read them, in the
// folder that it names.
TEST_F(Events, TwoSessionsForTensorBoard) {
  const char* given = std::getenv("NESTVIT_EVENTS_FOLDER");
  const fs::path folder = given && *given ? fs::path(given) : folder_.path();
  EventWriter writer({folder, {}, 1700000000.0, "host", 42});
  writer.add_text("recipe", "| key | value |\n|---|---|\n| optim | adamw |\n", 1, 1.5);
  for (int step = 1; step <= 100; ++step) {
    writer.add_scalar("train/loss", 1.0 / step, step, 1700000000.0 + step);
    writer.add_scalar("perf/images_per_sec", 12.5 * step, step, 1700000000.0 + step);
  }
  writer.flush();
  EXPECT_EQ(scalars(read_text(writer.path())).size(), 200u);
  // It stopped at 100, and goes on from a checkpoint at 50: 51 to 100 are logged once more.
  EventWriter resumed({folder, 51, 1700000500.0, "host", 43});
  for (int step = 51; step <= 150; ++step)
    resumed.add_scalar("train/loss", 2.0 / step, step, 1700000500.0 + step);
  resumed.flush();
  EXPECT_EQ(scalars(read_text(resumed.path())).size(), 100u);
}

}  // namespace
}  // namespace nestvit

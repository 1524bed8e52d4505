// What a run writes down: TensorBoard's event files beside log.jsonl.
#include "run/record/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class RunLogTest : public ::testing::Test {
 protected:
  std::vector<fs::path> event_files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      if (entry.path().filename().string().starts_with("events.out.tfevents."))
        files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
  }
  const testing::TempDir folder_;
};

// The numbers themselves are read back by the real TensorBoard in Interop.TensorBoard.
TEST_F(RunLogTest, NumbersGoToTensorBoardUnderBothKindsOfTags) {
  RunLog log(folder_.path());
  log.write("start", {{"step", int64_t{0}}});
  EXPECT_TRUE(event_files().empty());  // nothing to show yet
  log.write("train", {{"step", int64_t{5}}, {"loss", 0.5}, {"learning_rate", 1e-3}});
  log.write("eval", {{"step", int64_t{5}}, {"accuracy", 0.5}, {"top1", 50.0}, {"eval_loss", 0.7}});
  ASSERT_EQ(event_files().size(), 1u);
  const std::string bytes = read_text(event_files()[0]);
  for (const char* tag :
       {"loss", "train/loss", "learning_rate", "train/lr", "accuracy", "val/top1", "val/loss"})
    EXPECT_THAT(bytes, HasSubstr(tag));
  EXPECT_THAT(bytes, Not(HasSubstr("perf/data_wait")));  // was not in the line
}

TEST_F(RunLogTest, AResumedRunOpensItsOwnFile) {
  for (const char* how : {"start", "resume"}) {
    RunLog log(folder_.path());
    log.write(how, {{"step", int64_t{3}}});
    log.write("train", {{"step", int64_t{4}}, {"loss", 0.5}});
    log.write("checkpoint", {{"step", int64_t{4}}});
  }
  EXPECT_EQ(event_files().size(), 2u);
  EXPECT_THAT(read_text(folder_ / "log.jsonl"), HasSubstr("resume"));
}

TEST_F(RunLogTest, IsCutBackToWhatTheCheckpointKnows) {
  {
    RunLog log(folder_.path());
    log.write("start", {{"step", int64_t{0}}});
    log.write("train", {{"step", int64_t{2}}, {"images_per_s", 7.0}, {"data_wait", 0.25}});
    log.write("eval", {{"step", int64_t{2}}});
    log.write("skipped", {{"image", "a"}, {"reason", "broken"}});
    log.write("train", {{"step", int64_t{4}}, {"images_per_s", 8.0}});
    log.write("checkpoint", {{"step", int64_t{4}}});
    // beyond: the evaluation of step 4 ended, but not its checkpoint
    log.write("eval", {{"step", int64_t{4}}});
    log.write("skipped", {{"image", "b"}, {"reason", "broken"}});
    log.write("train", {{"step", int64_t{6}}});
  }
  const std::string whole = read_text(folder_ / "log.jsonl");
  const size_t beyond = whole.rfind("{\"event\":\"eval\"");
  RunState state;
  state.step = 4;
  state.history.emplace_back();
  state.history.back().step = 2;
  state.history.back().eval_top1 = 50;
  state.skipped = {{"a", "broken"}};
  // with an unfinished line, and with zeros
  for (const std::string& tail :
       {std::string(), std::string("{\"event\":\"tr"), std::string(64, '\0') + "\n"}) {
    write_file(folder_ / "log.jsonl", whole + tail);
    const std::vector<RunPoint> curve = cut_log(folder_.path(), state);
    EXPECT_EQ(read_text(folder_ / "log.jsonl"), whole.substr(0, beyond));
    ASSERT_EQ(curve.size(), 2U);
    EXPECT_EQ(curve[0].step, 2);
    EXPECT_EQ(curve[0].images_per_second, 7);
    EXPECT_EQ(curve[0].data_wait, 25);  // percent
    EXPECT_EQ(curve[1].data_wait, std::nullopt);
  }
}

}  // namespace
}  // namespace nestvit

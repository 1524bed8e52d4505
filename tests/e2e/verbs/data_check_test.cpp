// nestvit data check: exit codes, what is printed, the files.
#include <nlohmann/json.hpp>

#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class DataCheckCli : public CliTest {
 protected:
  void SetUp() override {
    int shade = 1;
    for (const char* name : {"ant/1", "ant/2", "bee/1", "bee/2"})
      write_image(fmt::format("data/train/{}.png", name), {static_cast<uint8_t>(shade++), 9, 70},
                  20);
    write_image("data/val/ant/3.png", {90, 1, 1}, 20);
    write_image("data/val/bee/3.png", {91, 1, 1}, 20);
  }
};

TEST_F(DataCheckCli, NothingWrongIsCode0) {
  const Outcome outcome = nestvit("data check data");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("train 4, val 2"));
  EXPECT_THAT(outcome.out, HasSubstr("nothing wrong found"));
  EXPECT_EQ(nestvit("data check --data-dir data").code, 0);
}

TEST_F(DataCheckCli, BrokenIsCode1OddIsNot) {
  write_image("data/train/ant/small.png", {5, 5, 5}, 12);
  Outcome outcome = nestvit("data check data");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("tiny images: 1"));
  EXPECT_THAT(nestvit("data check data --min-side 12").out, HasSubstr("nothing wrong"));

  truncate("data/train/bee/2.png");
  outcome = nestvit("data check data --json r.json --csv r.csv");
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("broken images: 1"));
  const json result = json::parse(text("r.json"));
  EXPECT_EQ(result["counts"]["broken"], 1);
  EXPECT_EQ(result["counts"]["tiny"], 1);
  EXPECT_EQ(result["findings"][0]["class"], "bee");
  EXPECT_THAT(std::string(result["findings"][0]["file"]), HasSubstr("train/bee/2.png"));
  EXPECT_THAT(text("r.csv"),
              HasSubstr("kind,part,class,file,detail\nbroken,train,bee,data/train/"));
}

TEST_F(DataCheckCli, SaysWhatTrainingWouldNotRead) {
  write_image("data/plane/1.png", {200, 1, 1}, 20);
  write_file(path("data/train/ant/a.heic"), "x");
  write_file(path("data/readme.txt"), "x");
  Outcome outcome = nestvit("data check data --json r.json");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("data/train/ant/a.heic: a file is not read"));
  EXPECT_THAT(outcome.out,
              HasSubstr("  data: folders beside train/ are not read: plane (1 image)"));
  EXPECT_THAT(outcome.out, HasSubstr("note     data: 1 file is not read (1 .txt)"));
  EXPECT_EQ(json::parse(text("r.json"))["notes"].size(), 1);
  write_image("data/val/cow/1.png", {201, 1, 1}, 20);
  outcome = nestvit("data check data");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("training would not start: 1"));
}

TEST_F(DataCheckCli, TenExamplesOfAKindAndHarmlessNames) {
  for (int i = 0; i < 15; ++i)
    write_image(fmt::format("data/train/ant/x{}\x1b[2J.png", i), {5, 5, 5}, 9);
  const Outcome outcome = nestvit("data check data");
  EXPECT_THAT(outcome.out, HasSubstr("tiny images: 15"));
  EXPECT_THAT(outcome.out, HasSubstr("and 5 more"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("\x1b")));
}

TEST_F(DataCheckCli, WrongCommandLines) {
  expect_failure(nestvit("data"), 2, {"ACTION"});
  expect_failure(nestvit("data chek data"), 2, {"chek"});
  expect_failure(nestvit("data check"), 2, {"no data given"});
  expect_failure(nestvit("data check missing"), 1, {"missing"});
  expect_failure(nestvit("data check data --data-dir other"), 2, {"two data folders"});
  EXPECT_THAT(nestvit("data check --help").out, HasSubstr("--min-side"));
}

}  // namespace
}  // namespace nestvit::testing

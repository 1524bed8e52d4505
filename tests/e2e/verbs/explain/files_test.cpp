// nestvit explain: what it reads and writes, and images that cannot be read.
#include <algorithm>
#include <csignal>

#include "e2e/verbs/explain/explain_cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ExplainFiles : public ExplainCli {
 protected:
  // Blank heads: the class is "bee" whatever the image.
  void SetUp() override {
    ExplainCli::SetUp();
    save("blind", constant_model({0, 2, 1}, {"ant", "bee/wasp kind", "cat"}));
  }
  Outcome blind(const std::string& arguments) const {
    return nestvit("explain --model blind " + arguments);
  }
};

TEST_F(ExplainFiles, PicturesAndJsonInAFolder) {
  const Outcome outcome = explain("photo.png --class cat --out new/why");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(files_in("new/why"), (std::set<std::string>{"photo.cat.png", "photo.cat.json"}));
  EXPECT_EQ(json::parse(text("new/why/photo.cat.json")), explained("--class cat"));
  const Image card = read_image(path("new/why/photo.cat.png"), {});
  EXPECT_GT(card.width, 200);
  EXPECT_GT(card.height, 100);
  EXPECT_EQ(explain("photo.png --class cat --maps --out new/why").code, 0);  // replaces them
  EXPECT_TRUE(json::parse(text("new/why/photo.cat.json"))["levels"][0].contains("map"));
}

TEST_F(ExplainFiles, SeveralClassesShareACard) {
  ASSERT_EQ(explain("photo.png --class cat --class ant --out why").code, 0);
  EXPECT_EQ(files_in("why"),
            (std::set<std::string>{"photo.cat.png", "photo.cat.json", "photo.ant.json"}));
}

TEST_F(ExplainFiles, NamesAreSafeAndNeverCollide) {
  for (const char* name : {"in/a/1.png", "in/b/1.png", "in/b/two words.png", "in/b/-x.png"})
    write_image(name, {1, 2, 3});
  fs::copy_file(path("in/b/two words.png"), path("in/b/two words.jpg"));
  const Outcome outcome = blind("in --out why");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  std::set<std::string> expected;
  for (const char* name : {"a_1", "b_1", "two_words.png", "two_words.jpg", "_x"})
    for (const char* extension : {"png", "json"})
      expected.insert(fmt::format("{}.bee_wasp_kind.{}", name, extension));
  EXPECT_EQ(files_in("why"), expected);
  EXPECT_EQ(json::parse(text("why/b_1.bee_wasp_kind.json"))["file"], "in/b/1.png");
}

TEST_F(ExplainFiles, TheSameImageTwiceHasTwoFiles) {
  ASSERT_EQ(blind("photo.png photo.png --out why").code, 0);
  EXPECT_EQ(files_in("why").size(), 4);
}

TEST_F(ExplainFiles, EveryMethodHasAPicture) {
  for (const std::string method :
       {"gradcat", "relevance", "cam", "layercam", "gradcam", "occlusion"}) {
    const Outcome outcome =
        explain(fmt::format("photo.png --class cat --method {0} --out {0}", method));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_GT(read_image(path(method + "/photo.cat.png"), {}).width, 100) << method;
  }
  ASSERT_EQ(explain("photo.png --class cat --method cam --smooth --out smooth").code, 0);
  EXPECT_NE(text("smooth/photo.cat.png"), text("cam/photo.cat.png"));
}

TEST_F(ExplainFiles, SheetSaysHowManyOfThem) {
  std::string images;
  for (int i = 0; i < 66; ++i) images += " photo.png";
  const Outcome outcome = blind(images + " --sheet sheet.png --output answers.csv");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("sheet.png: 64 of 66 images"));
  EXPECT_GT(read_image(path("sheet.png"), {}).width, 400);
}

// The boxes of a sheet are those of an image that was shrunk for it.
TEST_F(ExplainFiles, SheetsOfLargeImages) {
  write_image("large.png", {10, 100, 200}, 1100);
  for (const char* method : {"gradcat", "relevance"})
    EXPECT_EQ(explain(fmt::format("large.png --method {} --sheet sheet.png", method)).code, 0);
}

TEST_F(ExplainFiles, OutputFileSaysTheFormat) {
  for (const std::string format : {"csv", "json"}) {
    const std::string expected = explain("photo.png --format " + format).out;
    const Outcome outcome = explain("photo.png --output a." + format);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(text("a." + format), expected);
    EXPECT_FALSE(fs::exists(path("a." + format + ".partial")));
  }
  ASSERT_EQ(explain("photo.png --output a.csv --format json").code, 0);
  EXPECT_EQ(text("a.csv").front(), '[');
}

TEST_F(ExplainCli, FoldersStandardInputAndDatasets) {
  for (const char* name : {"in/b/img10.png", "in/b/img2.PNG", "in/a/x.png"})
    write_image(name, {1, 2, 3});
  write_file(path("in/notes.txt"), "no image");
  const json why = json::parse(explain("in --format json").out);
  ASSERT_EQ(why.size(), 3);
  EXPECT_EQ(why[0]["file"], "in/a/x.png");
  EXPECT_EQ(why[1]["file"], "in/b/img2.PNG");
  EXPECT_EQ(why[2]["file"], "in/b/img10.png");
  EXPECT_THAT(explain("- --format csv < photo.png").out, HasSubstr("\n-,"));
  EXPECT_EQ(explain("- --out why < photo.png").code, 0);
  EXPECT_THAT(*files_in("why").begin(), ::testing::StartsWith("standard-input."));
  for (int i = 0; i < 6; ++i)
    for (const char* label : {"ant", "bee", "cat"})
      write_image(fmt::format("data/val/{}/{}.png", label, i), {1, 2, 3});
  const std::string limited = explain("--data-dir data --limit 5").out;
  EXPECT_EQ(std::count(limited.begin(), limited.end(), '\n'), 6);
  EXPECT_EQ(limited, explain("--data-dir data --limit 5 --split val").out);
}

TEST_F(ExplainCli, BadFilesAmongManyAreNamedAndTheOthersExplained) {
  for (const char* name : {"a.png", "b.png", "d.png"}) write_image(name, {1, 2, 3});
  truncate("b.png");
  write_file(path("c.txt"), "notes");
  const std::string images = "a.png b.png c.txt gone.png d.png";
  const std::string expected = explain("a.png d.png --format csv").out;
  EXPECT_EQ(std::count(expected.begin(), expected.end(), '\n'), 5);
  for (const char* batch : {"1", "2", "32"}) {
    const Outcome outcome =
        explain(fmt::format("{} --output answers.csv --out why -b {}", images, batch));
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(text("answers.csv"), expected);
    for (const char* bad : {"b.png", "c.txt", "gone.png", "3 of 5 images"})
      EXPECT_THAT(outcome.err, HasSubstr(bad));
    EXPECT_EQ(files_in("why").size(), 4);
  }
  EXPECT_EQ(explain(images + " --format csv").out, expected);
  const Outcome skipped = explain(images + " --format csv --on-bad-image skip");
  EXPECT_EQ(skipped.code, 0) << skipped.err;
  EXPECT_EQ(skipped.out, expected);
}

TEST_F(ExplainCli, EveryBadFileIsNamedHoweverMany) {
  std::string bad;
  for (int i = 0; i < 50; ++i) bad += fmt::format(" none{}.png", i);
  const Outcome outcome = explain("photo.png" + bad);
  EXPECT_EQ(outcome.code, 1);
  for (int i = 0; i < 50; ++i) EXPECT_THAT(outcome.err, HasSubstr(fmt::format("none{}.png", i)));
  expect_failure(explain(bad), 1, {"none of 50 images", "none0.png", "none49.png"});
  EXPECT_EQ(explain(bad + " --on-bad-image skip").code, 1);
}

TEST_F(ExplainCli, ASingleBadImageEndsWithItsOwnError) {
  expect_failure(explain("nowhere.png"), 1, {"nowhere.png"});
  truncate("photo.png");
  expect_failure(explain("photo.png"), 1, {"photo.png"});
  write_file(path("zero.png"), "");
  expect_failure(explain("zero.png"), 1, {"zero.png"});
}

// A model's fault is not an image's: no image is skipped for it.
TEST_F(ExplainCli, WeightsThatAreNotFiniteAreAnError) {
  LoadedModel model = three_levels({"ant", "bee", "cat"});
  const Tensor& head = model.tensors.at("head.weight");
  model.tensors["head.weight"] = Tensor::f32(head.shape(), std::vector<float>(head.size(), 3e38f));
  save("huge", model);
  const Outcome outcome = nestvit("explain --model huge photo.png photo.png");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("not finite"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("skipped")));
}

class ExplainStream : public ExplainCli {
 protected:
  void SetUp() override {
    ExplainCli::SetUp();
    write_image("big.png", {1, 2, 3}, 1000);
    for (int i = 0; i < 300; ++i) images_ += " big.png";
  }
  std::string images_;
};

TEST_F(ExplainStream, AReaderThatGoesIsNoError) {
  const Outcome outcome = shell(
      fmt::format("bash -c 'nestvit explain --model model {} -b 1 --format csv 2>err | head -n 1; "
                  "exit ${{PIPESTATUS[0]}}'",
                  images_));
  EXPECT_EQ(outcome.code, 128 + SIGPIPE);
  EXPECT_THAT(outcome.out, ::testing::StartsWith("file,class,"));
  EXPECT_THAT(text("err"), Not(HasSubstr("error")));
}

TEST_F(ExplainStream, LongWorkIsAnnounced) {
  const Outcome outcome = shell("nestvit explain --model model " + images_ +
                                " -b 1 --format csv | head -n 1 >/dev/null");
  EXPECT_THAT(outcome.err, HasSubstr("300 images, each as much work as 2.7 forward passes"));
  EXPECT_EQ(explain("photo.png").err, "");
  EXPECT_EQ(explain("big.png --verify").err, "");
}

TEST_F(ExplainStream, AKillLeavesTheAnswersSoFarAndWhatWasThere) {
  write_file(path("answers.csv"), "old");
  const Outcome killed = shell(fmt::format(
      "{{ nestvit explain --model model {} -b 1 --output answers.csv & }}; p=$!; "
      "for i in $(seq 1200); do "
      "[ \"$(cat answers.csv.partial 2>/dev/null | wc -l)\" -ge 3 ] && kill -KILL $p && exit 0; "
      "kill -0 $p || exit 3; sleep 0.05; done; exit 4",
      images_));
  ASSERT_EQ(killed.code, 0) << killed.err;
  EXPECT_EQ(text("answers.csv"), "old");
  EXPECT_THAT(text("answers.csv.partial"), ::testing::StartsWith("file,class,"));
}

}  // namespace
}  // namespace nestvit::testing

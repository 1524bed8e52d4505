// nestvit explain --score and --localise: reports of tiny models over a few images.
#include "core/report/html.h"
#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ExplainModesCli : public CliTest {
 protected:
  ExplainModesCli() {
    const std::vector<std::string> classes = {"ant", "bee", "cat", "dog"};
    save("model", tiny_model(classes));
    save("stubborn", constant_model({0, 3, 1, 2}, classes));
    std::string boxes;
    for (size_t k = 0; k < classes.size(); ++k)
      for (int i = 0; i < 2; ++i) {
        const std::string name = classes[k] + "/" + std::to_string(i) + ".png";
        write_image("photos/val/" + name,
                    {static_cast<uint8_t>(60 * k), static_cast<uint8_t>(90 * i), 40}, 16);
        boxes += "val/" + name + ",2,2,13,9\n";
      }
    write_file(path("boxes.txt"), std::string_view(boxes));
  }
  Outcome score(const std::string& arguments) const {
    return nestvit("explain --score --data-dir photos --steps 4 " + arguments);
  }
};

TEST_F(ExplainModesCli, ScoresEverythingIntoAReport) {
  const Outcome outcome =
      score("--model model --all-images --boxes boxes.txt --mosaic 2 --sanity --report report");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("forward passes"));
  EXPECT_THAT(outcome.out, HasSubstr("images scored: 8 of 8"));
  for (const std::string name :
       {"report.html", "report.md", "scores.csv", "curves.csv", "mosaics.csv", "sanity.csv",
        "random_logit.csv", "deletion_mean.svg"})
    EXPECT_TRUE(fs::exists(path("report/" + name))) << name;
  // A line for each image and method, and the first.
  EXPECT_EQ(count(text("report/scores.csv"), "\n"), 1u + 8 * 11);
  EXPECT_EQ(count(text("report/mosaics.csv"), "\n"), 1u + 2 * 11);
  EXPECT_THAT(text("report/scores.csv"), HasSubstr("pointing,energy,box_area\n"));
  // Nothing was drawn anew: the maps are themselves.
  EXPECT_THAT(text("report/sanity.csv"), HasSubstr("nothing,1.00 / 1.00 / 1.00"));
}

TEST_F(ExplainModesCli, AModelThatNeverChangesItsMindIsCalledNothing) {
  const Outcome outcome = score("--model stubborn --report report");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("images scored: 2 of 8"));
  EXPECT_THAT(outcome.out, HasSubstr("6 that the model gets wrong"));
  EXPECT_THAT(outcome.out, HasSubstr("no difference shown"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("better than")));
}

TEST_F(ExplainModesCli, ThreadsAndBatchesChangeNothing) {
  const Outcome one = score("--model model --all-images --threads 1 --batch-size 1 --report a");
  const Outcome two = score("--model model --all-images --threads 2 --batch-size 5 --report b");
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(one.out, two.out);
  EXPECT_EQ(text("a/scores.csv"), text("b/scores.csv"));
  EXPECT_EQ(text("a/curves.csv"), text("b/curves.csv"));
}

TEST_F(ExplainModesCli, UnreadableImagesAreCounted) {
  truncate("photos/val/bee/1.png");
  const Outcome outcome = score("--model model --all-images");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("bee/1.png"));
  EXPECT_THAT(outcome.out, HasSubstr("images scored: 7 of 8"));
  EXPECT_THAT(outcome.out, HasSubstr("1 that cannot be read"));
}

TEST_F(ExplainModesCli, LocalisesByBothProtocols) {
  const Outcome outcome = nestvit(
      "explain --localise --model model --data-dir photos --boxes boxes.txt --report where");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("Protocol cvpr16"));
  EXPECT_THAT(outcome.out, HasSubstr("Protocol maxboxacc"));
  EXPECT_THAT(outcome.out, HasSubstr("these same images, which flatters"));
  EXPECT_THAT(outcome.out, HasSubstr("top-1 accuracy then"));
  EXPECT_EQ(count(text("where/cvpr16.csv"), "\n"), 1u + 8 * 7);
  const Outcome chosen = nestvit(
      "explain --localise --model model --data-dir photos --boxes boxes.txt --protocol maxboxacc "
      "--threshold-from photos");
  ASSERT_EQ(chosen.code, 0) << chosen.err;
  EXPECT_THAT(chosen.out, Not(HasSubstr("flatters")));
  EXPECT_THAT(chosen.out, Not(HasSubstr("cvpr16")));
}

TEST_F(ExplainModesCli, WhatDoesNotFitIsSaidBeforeTheWork) {
  const auto fails = [&](const std::string& arguments, int code, const std::string& text) {
    const Outcome outcome = nestvit("explain --model model " + arguments);
    EXPECT_EQ(outcome.code, code) << arguments << ": " << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(text));
  };
  for (const char* name : {"few/val/ant/0.png", "few/val/bee/0.png"}) write_image(name, {1, 2, 3});
  fails("--score", 2, "--data-dir");
  fails("--score --localise --data-dir photos", 2, "exclude each other");
  fails("--mosaic 2 --data-dir photos", 2, "--mosaic belongs to --score");
  fails("--localise --data-dir photos", 2, "--boxes FILE");
  fails("--score --data-dir photos --mosaic 4 --all-images", 2, "2 x 2 leaves");
  fails("--score --data-dir few --mosaic 2 --all-images", 2, "needs 4 classes");
  fails("--localise --data-dir photos --boxes boxes.txt --protocol cvpr16 --threshold-from val", 2,
        "maxboxacc");
  fails("--score --data-dir photos --report boxes.txt", 1, "boxes.txt");
  write_file(path("bad.txt"), std::string_view("a.png,1,2,3,4\nb.png,5,6,x,8\n"));
  fails("--score --data-dir photos --all-images --boxes bad.txt", 1, "bad.txt line 2");
  write_file(path("others.txt"), std::string_view("somewhere/else.png,1,2,3,4\n"));
  fails("--localise --data-dir photos --boxes others.txt", 1, "none of the 8 images");
}

}  // namespace
}  // namespace nestvit::testing

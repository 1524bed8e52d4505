// nestvit eval: numbers that can be counted by hand, files, and classes that do not match.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// The model answers "bee" to everything with probability 1/2, the others share the rest.
const std::vector<float> kLogits = {0, std::log(2.0f), 0};

class EvalCli : public CliTest {
 protected:
  void SetUp() override {
    save("model", constant_model(kLogits, {"ant", "bee", "cat"}));
    fill("data", {"ant", "bee", "cat"}, {2, 5, 1});
  }

  void fill(const std::string& folder, const std::vector<std::string>& classes,
            const std::vector<int>& counts) const {
    for (size_t c = 0; c < classes.size(); ++c)
      for (int i = 0; i < counts[c]; ++i)
        write_image(fmt::format("{}/val/{}/{}.png", folder, classes[c], i), {9, 9, 9});
  }

  json eval(const std::string& arguments) const {
    const Outcome outcome = nestvit("eval --results-file r.json " + arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(text("r.json"));
  }
};

constexpr double kTop1 = 62.5;  // 5 of 8
const double kLoss = (5 * std::log(2.0) + 3 * std::log(4.0)) / 8;

TEST_F(EvalCli, CountsRight) {
  const Outcome outcome = nestvit("eval --model model --data-dir data");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("top-1    62.50 %"));
  EXPECT_THAT(outcome.out, HasSubstr("top-5    100.00 %"));
  EXPECT_THAT(outcome.out, HasSubstr(fmt::format("loss     {:.4f}", kLoss)));
  EXPECT_THAT(outcome.out, HasSubstr("8 images, 3 classes"));
}

// As timm's validate is called. Without a record of its training, a model cannot say more.
TEST_F(EvalCli, AFolderOfClassesIsEvaluatedWhole) {
  for (const char* options : {"", " --val-share 1", " --split val"}) {
    const Outcome outcome =
        nestvit(std::string("eval --model model --data-dir data/val") + options);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("8 images, 3 classes")) << options;
    EXPECT_THAT(outcome.out, HasSubstr("top-1    62.50 %")) << options;
    EXPECT_THAT(outcome.err, HasSubstr("all 8 images of data/val")) << options;
  }
  fs::rename(path("data/val"), path("photos"));
  const Outcome all = nestvit("eval --model model --data-dir photos");
  EXPECT_THAT(all.out, HasSubstr("(image folder, all): 8 images"));
  EXPECT_THAT(all.err,
              HasSubstr("warning: all 8 images of photos are evaluated. The model does not "
                        "say what it was trained on"));
  // 1 of 2, 3 of 5, none of 1.
  const Outcome part = nestvit("eval --model model --data-dir photos --val-share 0.6 --seed 7");
  EXPECT_THAT(part.out, HasSubstr("(image folder, val): 4 images"));
  EXPECT_THAT(part.err, HasSubstr("60 % of each class, drawn with seed 7"));
}

TEST_F(EvalCli, SaysWhatIsNotRead) {
  for (int i = 0; i < 4; ++i) write_file(path(fmt::format("data/val/bee/{}.tiff", i)), "II*");
  const Outcome outcome = nestvit("eval --model model --data-dir data");
  EXPECT_THAT(outcome.out, HasSubstr("8 images"));
  EXPECT_THAT(outcome.err, HasSubstr("4 files are not read (4 .tiff)"));
}

TEST_F(EvalCli, AClassOfWhichNothingCanBeReadIsNamed) {
  write_file(path("data/val/cat/0.png"), "no image");
  const Outcome outcome = nestvit("eval --model model --data-dir data --on-bad-image skip");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("no image of class 'cat' can be read"));
}

TEST_F(EvalCli, ResultFilesHaveTimmsFields) {
  const json result = eval("--model model --data-dir data -b 3");
  EXPECT_EQ(result["model"], "model");
  EXPECT_EQ(result["top1"], kTop1);
  EXPECT_EQ(result["top1_err"], 100 - kTop1);
  EXPECT_EQ(result["top5"], 100);
  EXPECT_EQ(result["top5_err"], 0);
  EXPECT_NEAR(result["loss"].get<double>(), kLoss, 1e-6);
  EXPECT_EQ(result["images"], 8);
  EXPECT_EQ(result["img_size"], 8);
  EXPECT_EQ(result["crop_pct"], 0.875);
  EXPECT_EQ(result["interpolation"], "bilinear");
  EXPECT_GT(result["images_per_second"], 0);

  EXPECT_EQ(nestvit("eval --model model --data-dir data --results-file r.csv").code, 0);
  EXPECT_THAT(text("r.csv"),
              ::testing::StartsWith("model,top1,top1_err,top5,top5_err,param_count,"
                                    "img_size,crop_pct,interpolation,loss,images,"
                                    "images_per_second\nmodel,62.5,37.5,100.0,0.0,"));
}

TEST_F(EvalCli, Report) {
  EXPECT_EQ(nestvit("eval --model model --data-dir data --report report").code, 0);
  EXPECT_EQ(text("report/per_class.csv"),
            "label,support,precision,recall,f1\n"
            "ant,2,0.000000,0.000000,0.000000\n"
            "bee,5,0.625000,1.000000,0.769231\n"
            "cat,1,0.000000,0.000000,0.000000\n");
  EXPECT_EQ(text("report/confusion.csv"),
            "true \\ predicted,ant,bee,cat\nant,0,2,0\nbee,0,5,0\ncat,0,1,0\n");
  EXPECT_EQ(json::parse(text("report/summary.json"))["top1"], kTop1);
  EXPECT_GT(read_image(path("report/confusion.png"), {}).width, 100);
}

// As many classes as ImageNet-21k has: their confusion matrix would take 3.8 GB.
TEST_F(EvalCli, ManyClassesAreReportedInLittleMemory) {
  constexpr int kClasses = 21'841, kImages = 100;
  std::vector<std::string> labels;
  for (int k = 0; k < kClasses; ++k) labels.push_back(fmt::format("c{}", k));
  std::vector<float> logits(kClasses);
  logits[7] = 1;
  save("many", constant_model(logits, labels));
  fill("some", {labels.begin(), labels.begin() + kImages}, std::vector<int>(kImages, 1));
  const Outcome outcome =
      shell("ulimit -v 1500000; nestvit eval --model many --data-dir some --report many_report");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("100 images, 21841 classes"));
  EXPECT_THAT(outcome.err, HasSubstr("confusion.csv lists pairs"));
  const std::string pairs = text("many_report/confusion.csv");
  EXPECT_THAT(pairs, ::testing::StartsWith("true,predicted,images\nc0,c7,1\n"));
  EXPECT_EQ(std::count(pairs.begin(), pairs.end(), '\n'), 1 + kImages);
  EXPECT_EQ(json::parse(text("many_report/summary.json"))["top1"], 1);
}

TEST_F(EvalCli, LimitDrawsTheSameImagesEveryTime) {
  const json a = eval("--model model --data-dir data --limit 3");
  EXPECT_EQ(a["images"], 3);
  EXPECT_EQ(a["top1"], eval("--model model --data-dir data --limit 3 -j 3 -b 1")["top1"]);
}

TEST_F(EvalCli, ClassesInAnotherOrderAreMatchedByName) {
  save("shuffled", constant_model({std::log(2.0f), 0, 0}, {"bee", "cat", "ant"}));
  const Outcome outcome = nestvit("eval --model shuffled --data-dir data --results-file r.json");
  EXPECT_THAT(outcome.err, HasSubstr("by name"));
  EXPECT_EQ(json::parse(text("r.json"))["top1"], kTop1);
}

// "10" comes after "1" in bytes; both are names of a model's classes.
TEST_F(EvalCli, NumbersInAnotherOrderAreMatchedByName) {
  save("digits", constant_model({0, std::log(2.0f), 0}, {"0", "2", "1"}));
  fill("numbers", {"0", "1", "2"}, {1, 1, 6});
  const Outcome outcome = nestvit("eval --model digits --data-dir numbers");
  EXPECT_THAT(outcome.out, HasSubstr("top-1    75.00 %")) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("by name"));
}

TEST_F(EvalCli, ClassesThatDifferAreNamed) {
  fill("other", {"ant", "bee", "dog"}, {1, 1, 1});
  expect_failure(nestvit("eval --model model --data-dir other"), 1, {"dog", "cat", "hint:"});
}

// As a part of ImageNet has with a model of all its classes.
TEST_F(EvalCli, FewerClassesThanTheModelAreMatchedByName) {
  fill("fewer", {"bee", "cat"}, {3, 1});
  const Outcome outcome = nestvit("eval --model model --data-dir fewer");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("top-1    75.00 %"));
  EXPECT_THAT(outcome.err, HasSubstr("2 of the model's 3 classes"));
}

TEST_F(EvalCli, BrokenImage) {
  truncate("data/val/ant/0.png");
  const Outcome outcome = nestvit("eval --model model --data-dir data");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("ant/0.png"));
  const Outcome skipped = nestvit("eval --model model --data-dir data --on-bad-image skip");
  EXPECT_EQ(skipped.code, 0);
  EXPECT_THAT(skipped.err, HasSubstr("ant/0.png"));
  EXPECT_THAT(skipped.out, HasSubstr("7 images"));
  EXPECT_THAT(skipped.out, HasSubstr("top-1    71.43 %"));
}

TEST_F(EvalCli, MistakesAreExplained) {
  expect_failure(nestvit("eval --model model"), 2, {"--data-dir"});
  expect_failure(nestvit("eval --model model --data-dir nowhere"), 1, {"nowhere"});
  expect_failure(nestvit("eval --model nowhere --data-dir data"), 1, {"nowhere"});
  expect_failure(nestvit("eval --model model --data-dir data --results-file r.txt"), 2, {"r.txt"});
  expect_failure(nestvit("eval --model model --data-dir data --split middle"), 2, {"middle"});
  expect_failure(nestvit("eval --model model --data-dir data --dataset cifar11"), 2, {"cifar11"});
  for (const char* share : {"1.5", "0", "-0.1", "nan", "half"})
    expect_failure(nestvit(std::string("eval --model model --data-dir data --val-share ") + share),
                   2, {share});
}

#ifdef NESTVIT_HAS_TRAIN
TEST_F(EvalCli, EnginesAgree) {
  const json torch = eval("--model model --data-dir data --engine torch");
  EXPECT_EQ(torch["top1"], kTop1);
  EXPECT_NEAR(torch["loss"].get<double>(), kLoss, 1e-5);
}
#endif

}  // namespace
}  // namespace nestvit::testing

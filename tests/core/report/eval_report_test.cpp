// The files of an evaluation.
#include "report/eval_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "support/errors.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

class Report : public ::testing::Test {
 protected:
  const testing::TempDir folder_;
};

TEST_F(Report, WritesEveryFile) {
  Metrics metrics(3);
  const std::vector<float> one_hot = {1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0};
  metrics.add(one_hot, std::vector<int>{0, 1, 1, 0});
  write_report(folder_ / "deep", metrics, {"a", "with, comma", "never"});

  EXPECT_EQ(read_text(folder_ / "deep/per_class.csv"),
            "label,support,precision,recall,f1\n"
            "a,2,1.000000,0.500000,0.666667\n"
            "\"with, comma\",2,0.666667,1.000000,0.800000\n"
            "never,0,0.000000,0.000000,0.000000\n");
  EXPECT_EQ(read_text(folder_ / "deep/confusion.csv"),
            "true \\ predicted,a,\"with, comma\",never\n"
            "a,1,1,0\n\"with, comma\",0,2,0\nnever,0,0,0\n");
  const auto summary = nlohmann::json::parse(read_text(folder_ / "deep/summary.json"));
  EXPECT_EQ(summary["images"], 4);
  EXPECT_EQ(summary["classes_with_images"], 2);
  EXPECT_DOUBLE_EQ(summary["top1"], 75);
  EXPECT_DOUBLE_EQ(summary["macro_recall"], 0.75);
  ASSERT_EQ(summary["most_confused"].size(), 1);
  EXPECT_EQ(summary["most_confused"][0]["predicted"], "with, comma");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "deep/confusion.png"));
}

std::vector<std::string> names(int number) {
  std::vector<std::string> names;
  for (int i = 0; i < number; ++i) names.push_back("c" + std::to_string(i));
  return names;
}

TEST_F(Report, UpToAThousandClassesAreAMatrixMoreArePairs) {
  for (const int classes : {1000, 1001}) {
    SCOPED_TRACE(classes);
    Metrics metrics(classes);
    std::vector<float> says_7(static_cast<size_t>(classes));
    says_7[7] = 1;
    for (const int label : {900, 7, 30, 900}) metrics.add(says_7, std::vector<int>{label});
    write_report(folder_.path(), metrics, names(classes));
    const std::string csv = read_text(folder_ / "confusion.csv");
    if (classes > 1000)
      EXPECT_EQ(csv, "true,predicted,images\nc7,c7,1\nc30,c7,1\nc900,c7,2\n");
    else
      EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1001);
    EXPECT_GT(std::filesystem::file_size(folder_ / "confusion.png"), 1000);
    const auto summary = nlohmann::json::parse(read_text(folder_ / "summary.json"));
    EXPECT_EQ(summary["most_confused"][0]["label"], "c900");
    EXPECT_EQ(summary["most_confused"][0]["count"], 2);
  }
}

// ImageNet-21k: 477 million counts as a matrix, which took minutes and gigabytes.
TEST_F(Report, ManyClassesGiveSmallFiles) {
  constexpr int kClasses = 21'841;
  Metrics metrics(kClasses);
  std::vector<float> logits(kClasses);
  for (int i = 0; i < 100; ++i) {
    logits[static_cast<size_t>(200 * i)] = static_cast<float>(i + 1);
    metrics.add(logits, std::vector<int>{100 * i});
  }
  write_report(folder_.path(), metrics, names(kClasses));
  EXPECT_LT(std::filesystem::file_size(folder_ / "confusion.csv"), 3000);
  EXPECT_LT(std::filesystem::file_size(folder_ / "per_class.csv"), kClasses * 60);
  EXPECT_LT(std::filesystem::file_size(folder_ / "summary.json"), 3000);
  EXPECT_LT(std::filesystem::file_size(folder_ / "confusion.png"), 500'000);
}

TEST_F(Report, NamesAFolderThatCannotBeMade) {
  write_file(folder_ / "file", "stands in the way");
  testing::expect_error(
      [&] {
        write_report(folder_ / "file/below", Metrics(2), {"a", "b"});
      },
      {(folder_ / "file").string()});
}

}  // namespace
}  // namespace nestvit

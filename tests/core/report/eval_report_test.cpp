// The files of an evaluation.
#include "report/eval_report.h"

#include <gtest/gtest.h>

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

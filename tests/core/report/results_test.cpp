// JSON and CSV as other programs read them.
#include "report/results.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

TEST(Json, KeepsOrderAndTypes) {
  const Value value = Value::Members{
      {"z", 1},       {"a", 2.5},        {"text", "qu\"ote\n"},
      {"flag", true}, {"none", Value()}, {"list", Value::list(std::vector<int>{1, 2})}};
  EXPECT_EQ(to_json(value, -1),
            R"({"z":1,"a":2.5,"text":"qu\"ote\n","flag":true,"none":null,"list":[1,2]})");
}

TEST(Json, LargeIntegersAreExact) {
  EXPECT_EQ(to_json(int64_t{9007199254740993}), "9007199254740993");
}

TEST(Json, StaysValidForWhatJsonCannotHold) {
  const Value value = Value::Members{{"nan", std::nan("")}, {"name", "a\xff\xfe"}};
  const auto parsed = nlohmann::json::parse(to_json(value));
  EXPECT_TRUE(parsed["nan"].is_null());
  EXPECT_EQ(parsed["name"], "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Csv, QuotesOnlyWhereNeeded) {
  EXPECT_EQ(csv_line({"plain", "a,b", "say \"hi\"", "two\nlines", ""}),
            "plain,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\n");
}

TEST(Results, FormatByExtension) {
  const testing::TempDir folder;
  const Value::Members results = {{"model", "a, b"}, {"top1", 91.25}, {"images", 10}};
  write_results(folder / "r.json", results);
  write_results(folder / "r.csv", results);
  EXPECT_EQ(nlohmann::json::parse(read_text(folder / "r.json"))["top1"], 91.25);
  EXPECT_EQ(read_text(folder / "r.csv"), "model,top1,images\n\"a, b\",91.25,10\n");
  EXPECT_THROW(write_results(folder / "r.txt", results), UsageError);
}

TEST(Results, Rounds) {
  EXPECT_EQ(rounded(91.23456, 2), 91.23);
  EXPECT_EQ(rounded(-0.125, 2), -0.13);
}

}  // namespace
}  // namespace nestvit

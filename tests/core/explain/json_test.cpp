// Explanations as JSON, by the schema beside this file, and as CSV.
#include "explain/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "core/explain/json_schema.h"
#include "core/explain/small_nest.h"
#include "explain/tree.h"

namespace nestvit {
namespace {

using nlohmann::json;
using ::testing::IsEmpty;

const testing::JsonSchema& schema() {
  static const testing::JsonSchema read(json::parse(read_text(
      std::filesystem::path(NESTVIT_SOURCE_DIR) / "tests/core/explain/explanation.schema.json")));
  return read;
}

CellMap map_of(int level, std::vector<float> values) {
  CellMap map;
  map.level = level;
  map.rows = map.columns = 2;
  map.cell = 4;
  map.values = std::move(values);
  map.sum = 5.25;
  map.positive = 6;
  map.negative = -0.75;
  return map;
}

// Of a tree of two levels.
ExplanationRecord example() {
  ExplanationRecord why;
  why.file = "a, b.jpg";
  why.width = 500;
  why.height = 375;
  why.seen = PixelBox{85.04398826979472, 23.4375, 413.4897, 351.5625};
  why.variant = "nest_tiny_s16_32";
  why.origin = "runs/best";
  why.image_size = 4;
  why.levels = 2;
  why.predictions = {{207, "golden \"retriever\"", 0.8123456789, 9.12345678}, {3, "cat", 0, -1}};
  why.target.index = 207;
  why.target.label = why.predictions[0].label;
  why.target.value = 9.12345678;
  why.method = "gradcat";
  why.site = "input";
  why.propagation = "conservative";
  why.sign = "ascent";
  why.maps = {map_of(1, {1, 2, 3, -0.75f})};
  const std::vector<Level> levels = geometry(testing::small_nest(2, 2));
  why.tree = build_tree(levels, 1, {{}, {{1, 2, 3, -0.75}, {1, 2, 3, 0.75}}});
  why.tree->nodes[3].box = PixelBox{1.5, 2, 3.25, 1234567};
  why.additive = true;
  why.explained = 5.25;
  why.constants = 3.87345678;
  return why;
}

void expect_by_schema(const json& value) { EXPECT_THAT(schema().violations(value), IsEmpty()); }

TEST(ExplanationJson, KeepsToTheSchema) {
  ExplanationRecord why = example();
  expect_by_schema(json::parse(to_json(why)));
  expect_by_schema(json::parse(to_json(why, true)));
  why.tree->path[0].occlusion = OcclusionCheck{1, false, -0.5};
  why.target.against = 3;
  why.target.against_label = "cat";
  why.seen.reset();
  expect_by_schema(json::parse(to_json(why, true)));
  why.tree.reset();
  why.method = "layercam";
  why.site = why.sign = "";
  why.additive = false;
  why.maps[0].level = -1;
  why.target.kind = TargetKind::kLogProbability;
  expect_by_schema(json::parse(to_json(why, true)));
}

// The check itself can fail.
TEST(ExplanationJson, SchemaFindsWhatIsWrong) {
  const json good = json::parse(to_json(example(), true));
  const auto broken = [&](auto change) {
    json value = good;
    change(value);
    return schema().violations(value).size();
  };
  EXPECT_EQ(broken([](json&) {}), 0u);
  EXPECT_GT(broken([](json& v) { v.erase("seen"); }), 0u);
  EXPECT_GT(broken([](json& v) { v["more"] = 1; }), 0u);
  EXPECT_GT(broken([](json& v) { v["width"] = "500"; }), 0u);
  EXPECT_GT(broken([](json& v) { v["method"] = "rollout"; }), 0u);
  EXPECT_GT(broken([](json& v) { v["tree"]["children"][2].erase("share"); }), 0u);
  EXPECT_GT(broken([](json& v) { v["tree"]["children"].erase(3); }), 0u);
  EXPECT_GT(broken([](json& v) { v["tree"]["children"][1]["share"] = 1.5; }), 0u);
  EXPECT_GT(broken([](json& v) { v["path"][0]["quadrant"] = 4; }), 0u);
  EXPECT_GT(broken([](json& v) { v["levels"][0]["map"][0][1] = nullptr; }), 0u);
  EXPECT_GT(broken([](json& v) { v["seen"] = {1, 2, 3}; }), 0u);
}

TEST(ExplanationJson, SaysWhatTheExplanationSays) {
  const json value = json::parse(to_json(example(), true));
  EXPECT_EQ(value["file"], "a, b.jpg");
  EXPECT_EQ(value["seen"], json::parse("[85.044, 23.4375, 413.49, 351.562]"));
  EXPECT_EQ(value["predictions"][0]["prob"], 0.812346);
  EXPECT_EQ(value["target"]["against"], nullptr);
  EXPECT_FALSE(value["target"].contains("against_label"));
  EXPECT_EQ(value["levels"][0]["map"], json::parse("[[1, 2], [3, -0.75]]"));
  EXPECT_EQ(value["tree"]["level"], 1);
  EXPECT_FALSE(value["tree"].contains("score"));
  const json& chosen = value["tree"]["children"][2];
  EXPECT_EQ(chosen["quadrant"], 2);
  EXPECT_EQ(chosen["block"], 2);
  EXPECT_EQ(chosen["score"], 3);
  EXPECT_EQ(chosen["share"], 0.444444);
  EXPECT_EQ(chosen["chosen"], true);
  EXPECT_EQ(chosen["input_box"], json::parse("[0, 2, 2, 4]"));
  EXPECT_EQ(chosen["box"], json::parse("[1.5, 2, 3.25, 1234570]"));
  EXPECT_EQ(value["tree"]["children"][3]["chosen"], false);
  EXPECT_EQ(value["tree"]["children"][3]["box"], nullptr);
  EXPECT_EQ(value["path"].size(), 1u);
  EXPECT_EQ(value["path"][0]["margin"], 0.148148);
  EXPECT_FALSE(value["path"][0].contains("occlusion"));
  EXPECT_EQ(value["completeness"]["constants"], 3.87346);
}

TEST(ExplanationJson, LeavesOutWhatAMethodHasNot) {
  ExplanationRecord why = example();
  why.method = "cam";
  why.tree.reset();
  why.site = why.propagation = why.sign = "";
  why.additive = false;
  const json value = json::parse(to_json(why));
  for (const char* key : {"tree", "path", "site", "propagation", "sign"})
    EXPECT_FALSE(value.contains(key)) << key;
  EXPECT_EQ(value["completeness"], nullptr);
  EXPECT_FALSE(value["levels"][0].contains("map"));
}

TEST(ExplanationJson, IsOneLineWhateverTheNames) {
  ExplanationRecord why = example();
  why.file = "line\nbreak \xff.jpg";
  why.constants = -0.0;
  const std::string text = to_json(why, true);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(text.find("-0.0"), std::string::npos);
  EXPECT_EQ(json::parse(text)["file"], "line\nbreak \uFFFD.jpg");
}

TEST(ExplanationCsv, HasARowForEachStep) {
  ExplanationRecord why = example();
  EXPECT_EQ(csv_header(), "file,class,level,quadrant,score,share,margin,decided,x0,y0,x1,y1\n");
  EXPECT_EQ(to_csv(why),
            "\"a, b.jpg\",\"golden \"\"retriever\"\"\",1,2,3,0.444444,0.148148,true,"
            "1.5,2,3.25,1.23457e+06\n");
  why.tree->nodes[3].box.reset();
  why.file = "a.jpg";
  EXPECT_EQ(to_csv(why), "a.jpg,\"golden \"\"retriever\"\"\",1,2,3,0.444444,0.148148,true,,,,\n");
  why.tree.reset();
  EXPECT_EQ(to_csv(why), "");
}

}  // namespace
}  // namespace nestvit

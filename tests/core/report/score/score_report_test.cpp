// What the report claims, and its files.
#include "report/score/score_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "core/report/html.h"
#include "support/errors.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

using testing::count;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Forty images; "good" is 0.2 above the controls on each, "same" is now above and now below.
ScoreTable table_of(bool higher_is_better) {
  ScoreTable table{"scores",
                   "Images",
                   "",
                   "images",
                   {{"m", "A measure", higher_is_better, 0.25}},
                   {"good", "same", "random", "centre"},
                   {},
                   {}};
  Rng rng(3, Purpose::kTest);
  for (int i = 0; i < 40; ++i) {
    const double base = static_cast<double>(rng.normal());
    table.add("image " + std::to_string(i),
              {{base + 0.2}, {base + (i % 2 == 0 ? 0.1 : -0.1)}, {base}, {base - 0.001}});
  }
  return table;
}

const std::vector<std::string> kControls = {"random", "centre"};

TEST(ScoreRows, ClaimOnlyWhatThePairedIntervalShows) {
  const std::vector<ScoreRow> rows = score_rows(table_of(true), 0, kControls, {});
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].verdict, "better than random and centre");
  EXPECT_NEAR(rows[0].differences[0].mean, 0.2, 1e-12);
  // Unpaired, the intervals of both overlap: the images differ by more than the methods.
  EXPECT_TRUE(rows[0].value.interval.meets(rows[2].value.mean));
  EXPECT_EQ(rows[1].verdict, "no difference shown");
  EXPECT_EQ(rows[2].verdict, "");
  EXPECT_EQ(rows[2].differences[0].count, 0);  // random less random
  EXPECT_NEAR(rows[2].differences[1].mean, 0.001, 1e-12);
}

TEST(ScoreRows, LowerMayBeBetter) {
  EXPECT_EQ(score_rows(table_of(false), 0, kControls, {})[0].verdict,
            "worse than random and centre");
}

TEST(ScoreRows, FewImagesAreNoClaim) {
  ScoreTable table = table_of(true);
  for (std::vector<double>& method : table.values[0]) method.resize(9);
  table.names.resize(9);
  EXPECT_FALSE(score_rows(table, 0, kControls, {})[0].differences[0].interval.meets(0));
  EXPECT_EQ(score_rows(table, 0, kControls, {})[0].verdict, "no difference shown");
}

TEST(ScoreRows, UndefinedValuesAreNoClaim) {
  ScoreTable table = table_of(true);
  for (double& value : table.values[0][0]) value = kNan;
  table.values[0][1][0] = kNan;
  const std::vector<ScoreRow> rows = score_rows(table, 0, kControls, {});
  EXPECT_EQ(rows[0].value.count, 0);
  EXPECT_EQ(rows[0].verdict, "no difference shown");
  EXPECT_EQ(rows[1].value.count, 39);
  EXPECT_EQ(rows[1].differences[0].count, 39);
}

ScoreReport report_of() {
  ScoreReport report;
  report.title = "Scores of <b>";
  report.facts = {{"images scored", "40 of 50"}};
  report.tables.push_back(table_of(true));
  ScoreCurves curves{"deletion_mean", "Deletion", {}};
  for (const char* method : {"good", "same", "random", "centre"})
    curves.methods.push_back({method, {0, 0.5, 1}, {0.9, 0.5, 0.1}, {5, 2, -1}});
  report.curves.push_back(curves);
  report.others.push_back({"sanity", "Sanity", "", {"part", "a|b"}, {{"head", "0.5"}}});
  report.notes = {"Masks are cues."};
  report.bootstrap.resamples = 200;
  return report;
}

TEST(ScoreReport, WritesEveryNumber) {
  const testing::TempDir folder;
  const std::string files = write_score_report(folder / "report", report_of());
  std::istringstream names(files);
  for (std::string name; names >> name;) {
    if (name.back() == ',') name.pop_back();
    EXPECT_TRUE(std::filesystem::exists(folder / "report" / name)) << name;
  }
  const std::string csv = read_text(folder / "report/scores.csv");
  EXPECT_THAT(csv, HasSubstr("name,method,m\n"));
  EXPECT_EQ(count(csv, "\n"), 1u + 40 * 4);
  const std::string curves = read_text(folder / "report/curves.csv");
  EXPECT_THAT(curves, HasSubstr("deletion_mean,good,0.5,0.5,2\n"));
  EXPECT_EQ(count(curves, "\n"), 1u + 4 * 3);
  EXPECT_EQ(read_text(folder / "report/sanity.csv"), "part,a|b\nhead,0.5\n");
  // A chart for each method that is no control, of three curves.
  const std::string svg = read_text(folder / "report/deletion_mean.svg");
  EXPECT_EQ(count(svg, "<svg "), 1u + 2 * 2);
  EXPECT_EQ(count(svg, "class=\"curve s3\""), 2u);
  const std::string markdown = read_text(folder / "report/report.md");
  EXPECT_THAT(markdown, HasSubstr("![Deletion](deletion_mean.svg)"));
}

TEST(ScoreReport, AnUndefinedNumberIsAnEmptyField) {
  ScoreReport report = report_of();
  report.tables[0].values[0][0][0] = kNan;
  const testing::TempDir folder;
  write_score_report(folder.path(), report);
  EXPECT_THAT(read_text(folder / "scores.csv"), HasSubstr("image 0,good,\n"));
}

TEST(ScoreReport, PageAndMarkdownSayTheSame) {
  const testing::TempDir folder;
  const ScoreReport report = report_of();
  write_score_report(folder.path(), report);
  const std::string html = read_text(folder / "report.html");
  const std::string markdown = score_markdown(report);
  for (const std::string& text : {html, markdown}) {
    EXPECT_THAT(text, HasSubstr("better than random and centre"));
    EXPECT_THAT(text, HasSubstr("no difference shown"));
    EXPECT_THAT(text, HasSubstr("40 of 50"));
    EXPECT_THAT(text, HasSubstr("chance is 0.25"));
    EXPECT_THAT(text, HasSubstr("Masks are cues."));
    EXPECT_THAT(text, HasSubstr("whose interval meets 0"));
  }
  EXPECT_THAT(html, HasSubstr("Scores of &lt;b&gt;"));
  EXPECT_THAT(html, Not(HasSubstr("<b>\n")));
  EXPECT_THAT(markdown, HasSubstr("a\\|b"));
  EXPECT_EQ(count(html, "<figure"), 2u);
  EXPECT_THAT(html, HasSubstr(">%</text>"));  // the axis is no epoch
  EXPECT_THAT(html, Not(HasSubstr("epoch")));
}

TEST(ScoreReport, AFolderThatCannotBeMadeIsNamed) {
  const testing::TempDir folder;
  write_file(folder / "file", std::string_view("x"));
  testing::expect_error([&] { write_score_report(folder / "file/report", report_of()); },
                        {"file/report"});
}

}  // namespace
}  // namespace nestvit

// The folder of `nestvit explain --score` and `--localise`: report.html, report.md, a CSV of all
// numbers per table, and the curves as CSV and SVG.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "metrics/bootstrap.h"
#include "metrics/score_table.h"

namespace nestvit {

// A table that is shown as it is.
struct PlainTable {
  std::string key;  // of its CSV file
  std::string title, note;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

struct ScoreReport {
  std::string title;
  // n, model, set, fill, steps, what was left out, ...: in the order shown.
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<ScoreTable> tables;
  std::vector<ScoreCurves> curves;
  std::vector<PlainTable> others;
  std::vector<std::string> notes;  // what the numbers do not say
  // Methods that the others are compared with, where a table has them.
  std::vector<std::string> controls = {"random", "centre"};
  BootstrapOptions bootstrap;
};

// Two images that agree make an interval beside 0, and nothing else.
inline constexpr int64_t kFewestForVerdict = 10;

// A method's row for a measure.
struct ScoreRow {
  std::string method;
  Estimate value;
  std::vector<Estimate> differences;  // to each control that the table has
  // "better than random and centre", "worse than centre", "no difference shown"; "" for the
  // controls. A paired interval that meets 0 shows no difference.
  std::string verdict;
};
std::vector<ScoreRow> score_rows(const ScoreTable& table, size_t measure,
                                 const std::vector<std::string>& controls,
                                 const BootstrapOptions& options);

// The whole report as Markdown, without pictures.
std::string score_markdown(const ScoreReport& report);

// "report.html, report.md, scores.csv, ...": the files that it writes into `directory`, which is
// made if missing. Throws Error.
std::string write_score_report(const std::filesystem::path& directory, const ScoreReport& report);

}  // namespace nestvit

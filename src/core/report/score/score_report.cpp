// Estimates, and the files.
#include "report/score/score_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/file.h"
#include "report/results.h"
#include "report/score/score_page.h"

namespace nestvit {
namespace {

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.6g}", value) : "";
}

std::string scores_csv(const ScoreTable& table) {
  std::vector<std::string> line = {"name", "method"};
  for (const Measure& measure : table.measures) line.push_back(measure.key);
  std::string text = csv_line(line);
  for (size_t i = 0; i < table.names.size(); ++i)
    for (size_t m = 0; m < table.methods.size(); ++m) {
      line = {table.names[i], table.methods[m]};
      for (size_t k = 0; k < table.measures.size(); ++k)
        line.push_back(number(table.values[k][m][i]));
      text += csv_line(line);
    }
  return text;
}

std::string curves_csv(const std::vector<ScoreCurves>& all) {
  std::string text = csv_line({"curve", "method", "share", "probability", "logit"});
  for (const ScoreCurves& curves : all)
    for (const ScoreCurve& curve : curves.methods)
      for (size_t i = 0; i < curve.share.size(); ++i)
        text += csv_line({curves.key, curve.method, number(curve.share[i]),
                          number(curve.probability[i]), number(curve.logit[i])});
  return text;
}

std::string plain_csv(const PlainTable& table) {
  std::string text = csv_line(table.header);
  for (const std::vector<std::string>& row : table.rows) text += csv_line(row);
  return text;
}

// Thing by thing; NaN for the control itself, and where the table does not have it.
std::vector<double> differences_to(const std::string& control, const ScoreTable& table,
                                   const std::vector<std::vector<double>>& values,
                                   const std::vector<double>& own) {
  std::vector<double> result(own.size(), std::numeric_limits<double>::quiet_NaN());
  const auto at = std::find(table.methods.begin(), table.methods.end(), control);
  if (at == table.methods.end()) return result;
  const std::vector<double>& others = values[static_cast<size_t>(at - table.methods.begin())];
  if (&others == &own) return result;
  for (size_t i = 0; i < own.size(); ++i) result[i] = own[i] - others[i];
  return result;
}

std::string verdict_of(const std::vector<Estimate>& differences,
                       const std::vector<std::string>& controls, bool higher_is_better) {
  std::vector<std::string> better, worse;
  for (size_t c = 0; c < differences.size(); ++c) {
    const Estimate& difference = differences[c];
    if (difference.count < kFewestForVerdict || difference.interval.meets(0)) continue;
    ((difference.mean > 0) == higher_is_better ? better : worse).push_back(controls[c]);
  }
  std::vector<std::string> parts;
  if (!better.empty()) parts.push_back(fmt::format("better than {}", fmt::join(better, " and ")));
  if (!worse.empty()) parts.push_back(fmt::format("worse than {}", fmt::join(worse, " and ")));
  return parts.empty() ? "no difference shown" : fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace

std::vector<ScoreRow> score_rows(const ScoreTable& table, size_t measure,
                                 const std::vector<std::string>& controls,
                                 const BootstrapOptions& options) {
  const std::vector<std::vector<double>>& values = table.values.at(measure);
  // Each method's values, then their differences to each control: from the same resamples.
  std::vector<std::vector<double>> columns;
  for (const std::vector<double>& own : values) {
    columns.push_back(own);
    for (const std::string& control : controls)
      columns.push_back(differences_to(control, table, values, own));
  }
  const std::vector<Estimate> estimates = estimated_columns(columns, options);
  std::vector<ScoreRow> rows;
  auto next = estimates.begin();
  for (const std::string& method : table.methods) {
    const auto end = next + 1 + std::ssize(controls);
    ScoreRow row{method, *next, {next + 1, end}, ""};
    if (std::find(controls.begin(), controls.end(), method) == controls.end())
      row.verdict = verdict_of(row.differences, controls, table.measures[measure].higher_is_better);
    rows.push_back(std::move(row));
    next = end;
  }
  return rows;
}

std::string write_score_report(const std::filesystem::path& directory, const ScoreReport& report) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    throw Error(fmt::format("{}: cannot make the folder: {}", directory.string(), error.message()));
  std::vector<std::string> names;
  const auto write = [&](const std::string& name, const std::string& text) {
    write_file(directory / name, std::string_view(text));
    names.push_back(name);
  };
  const EstimatedReport estimates = estimated(report);
  write("report.html", score_html(report, estimates));
  std::string markdown = score_markdown(report, estimates);
  for (const ScoreCurves& curves : report.curves) {
    const std::string name = curves.key + ".svg";
    write(name, curves_svg(curves, report.controls));
    markdown += fmt::format("\n![{}]({})\n", curves.title, name);
  }
  write("report.md", markdown);
  for (const ScoreTable& table : report.tables) write(table.key + ".csv", scores_csv(table));
  for (const PlainTable& table : report.others) write(table.key + ".csv", plain_csv(table));
  if (!report.curves.empty()) write("curves.csv", curves_csv(report.curves));
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace nestvit

// The sections of the report, twice, and the grid of charts.
#include "report/score/score_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/markup.h"
#include "report/page.h"
#include "report/page_chart.h"

namespace nestvit {
namespace {

constexpr const char* kHowToRead =
    "Intervals are 95 % percentile bootstrap intervals of the mean. Differences are paired: the "
    "same thing under both methods. No method is called better or worse whose interval meets 0, "
    "nor from fewer "
    "than 10 pairs.";

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.3f}", value) : "–";
}

std::string with_interval(const Estimate& estimate) {
  if (estimate.count == 0) return "–";
  return fmt::format("{} [{}, {}]", number(estimate.mean), number(estimate.interval.low),
                     number(estimate.interval.high));
}

// One measure of a table as cells.
PlainTable cells(const ScoreTable& table, size_t measure, const std::vector<ScoreRow>& rows,
                 const std::vector<std::string>& controls) {
  const Measure& what = table.measures[measure];
  PlainTable result;
  result.title = what.name;
  result.note = what.higher_is_better ? "higher is better" : "lower is better";
  if (what.chance) result.note += fmt::format("; chance is {:.4g}", *what.chance);
  result.header = {"method", "mean [95 % interval]", "median", table.things};
  for (const std::string& control : controls) result.header.push_back("less " + control);
  result.header.push_back("verdict");
  for (const ScoreRow& row : rows) {
    std::vector<std::string> line = {row.method, with_interval(row.value), number(row.value.median),
                                     fmt::format("{}", row.value.count)};
    for (const Estimate& difference : row.differences) line.push_back(with_interval(difference));
    line.push_back(row.verdict);
    result.rows.push_back(std::move(line));
  }
  return result;
}

std::string html_table(const PlainTable& table) {
  std::string html = "<div class=\"box scroll\"><table class=\"numbers\"><thead><tr>";
  for (const std::string& name : table.header)
    html += fmt::format("<th>{}</th>", escape_html(name));
  html += "</tr></thead><tbody>\n";
  for (const std::vector<std::string>& row : table.rows) {
    html += "<tr>";
    for (const std::string& cell : row) html += fmt::format("<td>{}</td>", escape_html(cell));
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

// Names of files and classes may hold what Markdown would read.
std::string markdown_cell(const std::string& text) {
  std::string result;
  for (const char c : clean_utf8(text)) {
    if (c == '|' || c == '\\' || c == '`' || c == '<' || c == '*' || c == '_' || c == '[')
      result += '\\';
    result += c;
  }
  return result;
}

std::string markdown_table(const PlainTable& table) {
  std::string text = "|", line = "|";
  for (const std::string& name : table.header) {
    text += fmt::format(" {} |", markdown_cell(name));
    line += "---|";
  }
  text += "\n" + line + "\n";
  for (const std::vector<std::string>& row : table.rows) {
    text += "|";
    for (const std::string& cell : row) text += fmt::format(" {} |", markdown_cell(cell));
    text += "\n";
  }
  return text;
}

ChartSeries series_of(const ScoreCurve& curve) {
  ChartSeries series{curve.method, {}, BestPoint::kNone};
  for (size_t i = 0; i < curve.share.size(); ++i)
    series.points.emplace_back(100 * curve.share[i], curve.probability[i]);
  return series;
}

// For each method that is no control: its curve beside those of two controls.
std::vector<Chart> charts_of(const ScoreCurves& curves, const std::vector<std::string>& controls) {
  const auto is_control = [&](const ScoreCurve& curve) {
    return std::find(controls.begin(), controls.end(), curve.method) != controls.end();
  };
  std::vector<Chart> charts;
  for (const ScoreCurve& curve : curves.methods) {
    if (is_control(curve)) continue;
    Chart chart{curve.method, "", true, {series_of(curve)}, "%"};
    for (const ScoreCurve& control : curves.methods)
      if (is_control(control) && chart.series.size() < 3)
        chart.series.push_back(series_of(control));
    charts.push_back(std::move(chart));
  }
  return charts;
}

std::string curve_sections(const ScoreReport& report) {
  std::string html;
  for (const ScoreCurves& curves : report.curves) {
    std::string charts;
    for (const Chart& chart : charts_of(curves, report.controls)) charts += chart_html(chart);
    if (charts.empty()) continue;
    html += html_section(curves.title, "<div class=\"charts\">\n" + charts + "</div>\n",
                         "Probability of the class, mean over the images, by the percentage of "
                         "cells that were changed.");
  }
  return html;
}

// What an SVG file of its own takes over from page.css.
constexpr const char* kSvgStyle = R"(
.grid { stroke: #d8dce2; } .curve { fill: none; stroke-width: 2; }
.s1 { stroke: #2563c9; } .s2 { stroke: #c2570c; } .s3 { stroke: #1a7f4b; }
.f1 { fill: #2563c9; } .f2 { fill: #c2570c; } .f3 { fill: #1a7f4b; } .spot { fill: transparent; }
text { font: 11px "DejaVu Sans", sans-serif; fill: #5c6570; } .name { font-weight: 600; fill: #1f2328; }
)";

}  // namespace

EstimatedReport estimated(const ScoreReport& report) {
  EstimatedReport estimates;
  for (const ScoreTable& table : report.tables) {
    auto& measures = estimates.emplace_back();
    for (size_t k = 0; k < table.values.size(); ++k)
      measures.push_back(score_rows(table, k, report.controls, report.bootstrap));
  }
  return estimates;
}

std::string score_html(const ScoreReport& report, const EstimatedReport& estimates) {
  std::string body = fmt::format("<header><h1>{}</h1>\n<p class=\"status\">{}</p></header>\n",
                                 escape_html(report.title), kHowToRead);
  body += html_section("What was measured", html_facts(report.facts));
  for (size_t t = 0; t < estimates.size(); ++t) {
    const ScoreTable& table = report.tables[t];
    if (!table.note.empty() || estimates.size() > 1)
      body += html_section(table.title, " ", table.note);
    for (size_t k = 0; k < estimates[t].size(); ++k) {
      const PlainTable shown = cells(table, k, estimates[t][k], report.controls);
      body += html_section(shown.title, html_table(shown), shown.note);
    }
  }
  body += curve_sections(report);
  for (const PlainTable& table : report.others)
    body += html_section(table.title, html_table(table), table.note);
  std::string notes;
  for (const std::string& note : report.notes)
    notes += fmt::format("<p>{}</p>\n", escape_html(note));
  body += html_section("What the numbers do not say", notes);
  return html_page(report.title, body);
}

std::string score_markdown(const ScoreReport& report, const EstimatedReport& estimates) {
  std::string text = fmt::format("# {}\n\n{}\n\n", markdown_cell(report.title), kHowToRead);
  for (const auto& [name, fact] : report.facts)
    text += fmt::format("- {}: {}\n", markdown_cell(name), markdown_cell(fact));
  const auto add = [&](const PlainTable& table, const char* mark) {
    text += fmt::format("\n{} {}\n\n", mark, markdown_cell(table.title));
    if (!table.note.empty()) text += markdown_cell(table.note) + "\n\n";
    text += markdown_table(table);
  };
  for (size_t t = 0; t < estimates.size(); ++t) {
    const ScoreTable& table = report.tables[t];
    text += fmt::format("\n## {}\n", markdown_cell(table.title));
    if (!table.note.empty()) text += "\n" + markdown_cell(table.note) + "\n";
    for (size_t k = 0; k < estimates[t].size(); ++k)
      add(cells(table, k, estimates[t][k], report.controls), "###");
  }
  for (const PlainTable& table : report.others) add(table, "##");
  if (!report.notes.empty()) text += "\n## What the numbers do not say\n\n";
  for (const std::string& note : report.notes) text += "- " + markdown_cell(note) + "\n";
  return text;
}

std::string score_markdown(const ScoreReport& report) {
  return score_markdown(report, estimated(report));
}

std::string curves_svg(const ScoreCurves& curves, const std::vector<std::string>& controls) {
  constexpr int kColumns = 3, kHead = 30, kName = 20;
  const std::vector<Chart> charts = charts_of(curves, controls);
  const int rows = (static_cast<int>(charts.size()) + kColumns - 1) / kColumns;
  const double height = kHead + rows * (kChartHeight + kName);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\">\n<style>{2}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
      "<text class=\"name\" x=\"10\" y=\"19\">{3}: probability by % of cells</text>\n",
      kColumns * kChartWidth, height, kSvgStyle, escape_html(curves.title));
  double x = kColumns * kChartWidth - 10;
  if (!charts.empty())
    for (size_t i = charts[0].series.size(); i-- > 0;) {
      const std::string name = i == 0 ? "the method" : charts[0].series[i].name;
      svg += fmt::format("<text x=\"{0:g}\" y=\"19\" text-anchor=\"end\">{1}</text>\n", x,
                         escape_html(name));
      x -= 8.0 * static_cast<double>(name.size()) + 6;
      svg += fmt::format("<rect class=\"f{}\" x=\"{:g}\" y=\"14\" width=\"14\" height=\"3\"/>\n",
                         i + 1, x - 8);
      x -= 24;
    }
  for (size_t i = 0; i < charts.size(); ++i) {
    const double left = static_cast<double>(i % kColumns) * kChartWidth;
    const double top = kHead + static_cast<double>(i / kColumns) * (kChartHeight + kName);
    svg += fmt::format(
        "<text class=\"name\" x=\"{:g}\" y=\"{:g}\">{}</text>\n<svg x=\"{:g}\" y=\"{:g}\" "
        "width=\"{:g}\" height=\"{:g}\">{}</svg>\n",
        left + 48, top + 14, escape_html(charts[i].title), left, top + kName, kChartWidth,
        kChartHeight, chart_svg(charts[i]));
  }
  return svg + "</svg>\n";
}

}  // namespace nestvit

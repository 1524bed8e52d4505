// Curves as inline SVG, coloured by the page's style sheet.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace nestvit {

enum class BestPoint { kNone, kLowest, kHighest };

struct ChartSeries {
  std::string name;
  // By ascending x; a value that is not finite breaks the line.
  std::vector<std::pair<double, double>> points;
  BestPoint best = BestPoint::kNone;  // the point that gets a ring and its value
};

struct Chart {
  std::string title;
  std::string unit;                 // behind values: " %"
  bool from_zero = false;           // the axis starts at 0, not near the lowest value
  std::vector<ChartSeries> series;  // at most 3
  std::string x_name = "epoch";
};

// A <figure>; empty when there is no finite point.
std::string chart_html(const Chart& chart);

// The drawing of chart_html() alone, an <svg> of this size in its own units; likewise empty.
inline constexpr double kChartWidth = 420, kChartHeight = 212;
std::string chart_svg(const Chart& chart);

// About `wanted` round numbers (1, 2 or 5 times a power of ten) that cover [low, high].
std::vector<double> nice_ticks(double low, double high, int wanted);

}  // namespace nestvit

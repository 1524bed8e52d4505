// Axes, ticks, lines and the best point.
#include "report/page_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "report/markup.h"

namespace nestvit {
namespace {

// In units of the drawing, which a phone shows at about 0.8 pixels each and a desk at 1.2.
constexpr double kWidth = kChartWidth, kHeight = kChartHeight;
constexpr double kLeft = 48, kRight = 14, kTop = 10, kBottom = 28;
constexpr size_t kMaxPoints = 400;  // per line: more would be closer than a pixel
constexpr size_t kMaxSpots = 150;   // points that show their value under the mouse

using Points = std::vector<std::pair<double, double>>;

// A loss beyond this has diverged: it is left out like one that is not finite, and differences of
// what stays cannot overflow.
constexpr double kDiverged = 1e300;

bool finite(const std::pair<double, double>& point) {
  return std::abs(point.first) < kDiverged && std::abs(point.second) < kDiverged;
}

// Keeps the lowest and the highest of every bucket, so that no peak is lost.
Points thinned(const Points& points) {
  if (points.size() <= kMaxPoints) return points;
  Points kept;
  const size_t buckets = kMaxPoints / 2;
  for (size_t b = 0; b < buckets; ++b) {
    const auto begin = points.begin() + static_cast<ptrdiff_t>(points.size() * b / buckets);
    const auto end = points.begin() + static_cast<ptrdiff_t>(points.size() * (b + 1) / buckets);
    const auto lower = [](const auto& p, const auto& q) {
      // not finite: as if it were the highest, which keeps the gap
      return (finite(p) ? p.second : HUGE_VAL) < (finite(q) ? q.second : HUGE_VAL);
    };
    const auto [low, high] = std::minmax_element(begin, end, lower);
    kept.push_back(*std::min(low, high));
    if (low != high) kept.push_back(*std::max(low, high));
  }
  return kept;
}

struct Axis {
  double low = 0, high = 1;  // of the values
  double from = 0, to = 1;   // of the drawing
  std::vector<double> ticks;

  double at(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

// Equal ends would divide by zero.
void widen(Range* range) {
  const double least = std::max(std::abs(range->low), std::abs(range->high)) * 1e-9 + 1e-300;
  if (range->high - range->low > least) return;
  const double half = range->low == 0 ? 1 : std::abs(range->low) / 2;
  range->low -= half;
  range->high += half;
}

std::string number(double value) { return fmt::format("{:.4g}", value); }

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart) {
    Range xs, ys;
    for (const ChartSeries& series : chart.series)
      for (const auto& point : series.points)
        if (finite(point)) {
          xs.add(point.first);
          ys.add(point.second);
        }
    empty_ = xs.low > xs.high;
    if (empty_) return;
    if (chart.from_zero) ys.add(0);
    widen(&xs);
    widen(&ys);
    x_ = {xs.low, xs.high, kLeft, kWidth - kRight, nice_ticks(xs.low, xs.high, 6)};
    y_ = {ys.low, ys.high, kHeight - kBottom, kTop, nice_ticks(ys.low, ys.high, 5)};
    // Curves end at ticks above and below, not on the way to them.
    y_.low = std::min(y_.low, y_.ticks.front());
    y_.high = std::max(y_.high, y_.ticks.back());
  }

  std::string html() const {
    if (empty_) return "";
    std::string keys;
    for (size_t i = 0; i < chart_.series.size(); ++i)
      if (shown(chart_.series[i]))
        keys += fmt::format("<span class=\"key\"><i class=\"k{}\"></i>{}</span>", colour(i),
                            escape_html(chart_.series[i].name));
    return fmt::format(
        "<figure class=\"box chart\"><figcaption><b>{}</b>{}</figcaption>{}</figure>\n",
        escape_html(chart_.title), keys, svg());
  }

  std::string svg() const {
    if (empty_) return "";
    std::string curves;
    for (size_t i = 0; i < chart_.series.size(); ++i)
      if (shown(chart_.series[i])) curves += curve(chart_.series[i], colour(i));
    for (size_t i = 0; i < chart_.series.size(); ++i) curves += best(chart_.series[i], colour(i));
    return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{}{}</svg>",
                       kWidth, kHeight, escape_html(chart_.title), grid(), curves);
  }

 private:
  static bool shown(const ChartSeries& series) {
    return std::any_of(series.points.begin(), series.points.end(), finite);
  }
  static size_t colour(size_t series) { return std::min<size_t>(series + 1, 3); }

  std::string value_text(double value) const { return number(value) + chart_.unit; }

  std::string grid() const {
    std::string svg;
    for (const double tick : y_.ticks) {
      const double y = y_.at(tick);
      svg += fmt::format(
          "<path class=\"grid\" d=\"M{:g} {:.1f}H{:g}\"/>"
          "<text x=\"{:g}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>",
          kLeft, y, kWidth - kRight, kLeft - 6, y + 4, number(tick));
    }
    svg += fmt::format("<text x=\"{:g}\" y=\"{:g}\" text-anchor=\"end\">{}</text>", kLeft - 6,
                       kHeight - kBottom + 18, escape_html(chart_.x_name));
    for (const double tick : x_.ticks)
      if (tick >= x_.low && tick <= x_.high)
        svg += fmt::format("<text x=\"{:.1f}\" y=\"{:g}\" text-anchor=\"middle\">{}</text>",
                           x_.at(tick), kHeight - kBottom + 18, number(tick));
    return svg;
  }

  std::string curve(const ChartSeries& series, size_t colour) const {
    const Points points = thinned(series.points);
    std::string path, spots;
    bool pen = false;
    for (const auto& point : points) {
      if (!finite(point)) {
        pen = false;
        continue;
      }
      const double x = x_.at(point.first), y = y_.at(point.second);
      path += fmt::format("{}{:.1f} {:.1f}", pen ? "L" : "M", x, y);
      pen = true;
      if (points.size() <= kMaxSpots)
        spots += fmt::format(
            "<circle class=\"spot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"><title>{} {}, {} {}"
            "</title></circle>",
            x, y, escape_html(series.name), value_text(point.second), escape_html(chart_.x_name),
            number(point.first));
    }
    // A line of one point has no length: its round cap is what is seen.
    return fmt::format("<path class=\"curve s{}\" d=\"{}h0\"/>{}", colour, path, spots);
  }

  std::string best(const ChartSeries& series, size_t colour) const {
    std::optional<std::pair<double, double>> found;
    const double sign = series.best == BestPoint::kLowest ? -1 : 1;
    if (series.best != BestPoint::kNone)
      for (const auto& point : series.points)
        if (finite(point) && (!found || sign * point.second > sign * found->second)) found = point;
    if (!found) return "";
    const double x = x_.at(found->first), y = y_.at(found->second);
    // Beside a low point there is room above it, beside a high one below.
    const double text_y = series.best == BestPoint::kLowest ? y - 10 : y + 19;
    const char* anchor = x > kWidth - 120 ? "end" : x < kLeft + 50 ? "start" : "middle";
    return fmt::format(
        "<circle class=\"ring s{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\"/>"
        "<text class=\"best\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{} at {}</text>",
        colour, x, y, x, std::clamp(text_y, kTop + 10, kHeight - kBottom - 4), anchor,
        value_text(found->second), number(found->first));
  }

  const Chart& chart_;
  Axis x_, y_;
  bool empty_ = false;
};

}  // namespace

std::vector<double> nice_ticks(double low, double high, int wanted) {
  const double rough = (high - low) / std::max(wanted, 1);
  const double magnitude = std::pow(10, std::floor(std::log10(rough)));
  const double share = rough / magnitude;
  const double step = magnitude * (share > 5 ? 10 : share > 2 ? 5 : share > 1 ? 2 : 1);
  // A step of five steps' worth of rounding error still ends.
  std::vector<double> ticks;
  const double first = std::floor(low / step + 1e-9);
  for (int i = 0; i <= 2 * wanted + 3; ++i) {
    ticks.push_back((first + i) * step);
    if (ticks.back() >= high - 1e-9 * step) break;
  }
  return ticks;
}

std::string chart_html(const Chart& chart) { return Drawing(chart).html(); }
std::string chart_svg(const Chart& chart) { return Drawing(chart).svg(); }

}  // namespace nestvit

// Curves: where points lie, what is marked, and that any values are drawn inside.
#include "report/page_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>

#include "core/report/html.h"

namespace nestvit {
namespace {

using testing::attributes;
using testing::count;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(NiceTicks, CoverTheRangeWithRoundNumbers) {
  const std::vector<std::pair<double, double>> ranges = {
      {0, 1}, {0.31, 2.38}, {-5, 93.7}, {0, 5e-4}, {1e6, 3e9}, {99.1, 99.2}, {1e-300, 3e-300}};
  for (const auto& [low, high] : ranges) {
    const auto ticks = nice_ticks(low, high, 5);
    const double slack = (high - low) * 1e-6;
    ASSERT_GE(ticks.size(), 3u);
    EXPECT_LE(ticks.size(), 9u);
    EXPECT_LE(ticks.front(), low + slack);
    EXPECT_GE(ticks.back(), high - slack);
    const double step = ticks[1] - ticks[0];
    const double lead = step / std::pow(10, std::floor(std::log10(step) + 1e-6));
    EXPECT_NEAR(lead * lead * lead - 8 * lead * lead + 17 * lead - 10, 0, 1e-3) << step;  // 1, 2, 5
  }
}

TEST(Chart, PlacesPointsLinearlyAndBreaksAtGaps) {
  Chart chart{"T", "", true, {{"s", {{0, 0}, {5, 50}, {7, std::nan("")}, {8, 80}, {10, 100}}}}};
  const std::string html = chart_html(chart);
  const std::vector<std::string> curves = attributes(html, "class=\"curve s1\" d");
  ASSERT_EQ(curves.size(), 1u);
  const std::string& d = curves[0];
  EXPECT_EQ(count(d, "M"), 2u);
  double x0, y0, x1, y1;
  ASSERT_EQ(std::sscanf(d.c_str(), "M%lf %lfL%lf %lf", &x0, &y0, &x1, &y1), 4);
  double x2, y2, x3, y3;
  ASSERT_EQ(std::sscanf(d.c_str() + d.rfind('M'), "M%lf %lfL%lf %lf", &x2, &y2, &x3, &y3), 4);
  EXPECT_NEAR(x1, (x0 + x3) / 2, 0.1);
  EXPECT_NEAR(y1, (y0 + y3) / 2, 0.1);
  EXPECT_NEAR(y2, y0 + 0.8 * (y3 - y0), 0.1);
  EXPECT_LT(y3, y0);
}

TEST(Chart, MarksTheBestPoint) {
  Chart chart{"T", " %", false, {{"s", {{1, 40}, {2, 93.25}, {3, 90}}, BestPoint::kHighest}}};
  EXPECT_THAT(chart_html(chart), HasSubstr(">93.25 % at 2</text>"));
  chart.series[0].best = BestPoint::kLowest;
  EXPECT_THAT(chart_html(chart), HasSubstr(">40 % at 1</text>"));
}

TEST(Chart, AnyValuesAreDrawnInside) {
  const double inf = std::numeric_limits<double>::infinity(), big = 9e299;
  EXPECT_EQ(chart_html({"T", "", true, {{"s", {{1, std::nan("")}, {2, inf}}}}}), "");
  EXPECT_EQ(chart_html({"T", "", true, {{"s", {{-1e308, 1}, {2, 1e308}}}}}), "");
  EXPECT_EQ(chart_html({"T", "", true, {}}), "");
  for (const auto& points :
       std::vector<std::vector<std::pair<double, double>>>{{{1, 1}},
                                                           {{1, 3}, {2, 3}},
                                                           {{1, -big}, {2, big}},
                                                           {{1, 0}, {1, 0}},
                                                           {{0, 5e-324}, {1, 1e-300}},
                                                           {{-big, 1}, {big, 2}}}) {
    const std::string html = chart_html({"T", "", false, {{"s", points, BestPoint::kLowest}}});
    EXPECT_THAT(html, Not(HasSubstr("nan")));
    EXPECT_THAT(html, Not(HasSubstr("inf")));
    for (const char* name : {" cx", " cy"}) {
      const auto values = attributes(html, name);
      EXPECT_FALSE(values.empty()) << "the lowest point has a mark";
      for (const std::string& value : values) {
        EXPECT_GE(std::stod(value), 0);
        EXPECT_LE(std::stod(value), 420);
      }
    }
  }
}

TEST(Chart, LongRunsAreThinnedWithoutLosingPeaks) {
  ChartSeries series{"s", {}, BestPoint::kNone};
  for (int i = 0; i < 100'000; ++i) series.points.emplace_back(i, i == 54'321 ? 100 : 0);
  const std::string html = chart_html({"T", "", true, {series}});
  EXPECT_LT(html.size(), 20'000u);
  EXPECT_THAT(html, HasSubstr(" 10.0"));  // the top of the plane
}

}  // namespace
}  // namespace nestvit

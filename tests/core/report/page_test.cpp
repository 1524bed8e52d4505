// The run's page: all that was given is on it, nothing of it can act, and it stays small. How it
// looks is for eyes: NESTVIT_PAGE=report.html report_test --gtest_filter=Page.OfAWholeRun
#include "report/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "base/file.h"
#include "image/codecs/codec.h"
#include "report/markup.h"
#include "report/page_chart.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

// The values of all attributes NAME="value".
std::vector<std::string> attributes(const std::string& html, const std::string& name) {
  std::vector<std::string> values;
  const std::string start = name + "=\"";
  for (size_t at = html.find(start); at != std::string::npos; at = html.find(start, at + 1)) {
    const size_t begin = at + start.size();
    values.push_back(html.substr(begin, html.find('"', begin) - begin));
  }
  return values;
}

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto view = std::as_bytes(std::span(text.data(), text.size()));
  return {view.begin(), view.end()};
}

size_t count(const std::string& text, const std::string& word) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += word.size()) ++found;
  return found;
}

Image noise(int height, int width) {
  Image image{height, width, 3, std::vector<uint8_t>(static_cast<size_t>(height) * width * 3)};
  uint32_t state = 1;
  for (uint8_t& value : image.pixels)
    value = static_cast<uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  return image;
}

// Curves as a run has them, over `epochs` epochs.
std::vector<RunPoint> history(int epochs) {
  std::vector<RunPoint> points;
  for (int i = 1; i <= 4 * epochs; ++i) {
    RunPoint point;
    point.epoch = i / 4.0;
    point.step = 25 * i;
    const double t = static_cast<double>(i) / (4 * epochs);
    point.train_loss = 0.35 + 2 * std::exp(-4 * t) + 0.05 * std::sin(i * 1.7);
    point.learning_rate = 5e-4 * std::min(1.0, t * 12) * (0.5 + 0.5 * std::cos(3.1416 * t));
    point.images_per_second = 118 + 6 * std::sin(i * 0.9);
    point.data_wait = 1.2 + std::sin(i * 2.3);
    if (i % 4 == 0) {
      point.val_loss = 0.55 + 1.8 * std::exp(-5 * t) + 0.25 * t * t + 0.03 * std::sin(i);
      point.val_top1 = 91 * (1 - std::exp(-5 * t)) + std::sin(i * 0.7);
      point.val_top5 = 99.2 - 40 * std::exp(-7 * t);
    }
    points.push_back(point);
  }
  return points;
}

RunPage small_page() {
  RunPage page;
  page.title = "a run";
  page.status = "finished";
  page.facts = {{"data", "photos"}, {"seed", "42"}};
  page.history = history(3);
  page.labels = {"ant", "bee"};
  page.confusion = {8, 2, 0, 10};
  return page;
}

TEST(Markup, Base64OfRfc4648) {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"},
                                                                    {"\xFB\xFF", "+/8="}};
  for (const auto& [plain, encoded] : vectors) EXPECT_EQ(base64(bytes_of(plain)), encoded);
}

TEST(Markup, EscapesWhatHtmlReadsAndReplacesWhatIsNoText) {
  EXPECT_EQ(escape_html("<a href=\"x\" b='y'>&amp;"),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
  EXPECT_EQ(escape_html("a\xff\x01z"), "a\xEF\xBF\xBD\xEF\xBF\xBDz");
  EXPECT_EQ(escape_html("Grüße 猫 🐈"), "Grüße 猫 🐈");
}

TEST(Markup, SmallImagesKeepEveryPixelLargeOnesShrink) {
  const auto decode = [](const std::string& uri) {
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    uint32_t bits = 0;
    int held = 0;
    for (const char c : uri.substr(uri.find(',') + 1)) {
      if (c == '=') break;
      bits = bits << 6 | static_cast<uint32_t>(digits.find(c));
      if ((held += 6) >= 8) bytes += static_cast<char>(bits >> (held -= 8));
    }
    return decode_image(bytes_of(bytes), {}, "uri");
  };
  const Image small = noise(32, 20);
  EXPECT_EQ(decode(image_uri(small, 160)), small);
  const Image large = decode(image_uri(noise(300, 600), 160));
  EXPECT_EQ(large.width, 160);
  EXPECT_EQ(large.height, 80);
  EXPECT_EQ(decode(image_uri(noise(1, 5000), 160)).height, 1);
  EXPECT_EQ(image_uri(Image{}, 160), "");
}

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
    for (const char* name : {" cx", " cy"})
      for (const std::string& value : attributes(html, name)) {
        EXPECT_GE(std::stod(value), 0);
        EXPECT_LE(std::stod(value), 420);
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

TEST(Page, TellsWhatRanAndHowItWent) {
  RunPage page = small_page();
  page.skipped = {{"bad.jpg", "truncated"}};
  page.samples = {{noise(8, 8), "sample.png", "ant", {{"ant", 0.75}, {"bee", 0.25}}}};
  page.mistakes = {{{noise(8, 8), "worst.png", "bee", {{"ant", 0.99}}}, 4.61}};
  const std::string html = run_page_html(page);
  for (const char* part :
       {"<title>a run</title>", "finished", "<th scope=\"row\">seed</th><td>42</td>", "train loss",
        "sample.png", "75.0 %", "worst.png", "loss 4.61", "bad.jpg", "truncated",
        "ant taken for bee: 2 (20.0 %)", "data:image/png;base64,"})
    EXPECT_THAT(html, HasSubstr(part));
  EXPECT_EQ(count(html, "<figure class=\"box chart\">"), 5u);
  EXPECT_EQ(count(html, "<tr class=\"best\">"), 1u);
}

TEST(Page, RowsOfTheTableCarryWhatTheLogSaidBefore) {
  RunPage page;
  RunPoint log, evaluated;
  log.epoch = 1;
  log.train_loss = 0.1234;
  evaluated.epoch = 1;
  evaluated.val_top1 = 50;
  page.history = {log, evaluated};
  const std::string html = run_page_html(page);
  EXPECT_THAT(html, HasSubstr("<td>0.1234</td><td>50.00</td>"));
  EXPECT_EQ(count(html.substr(html.find("<tbody>")), "<tr"), 1u);
}

TEST(Page, EmptyRunIsAPageToo) {
  const std::string html = run_page_html({});
  EXPECT_THAT(html, HasSubstr("</html>"));
  EXPECT_THAT(html, Not(HasSubstr("<section>")));
}

// Names of files and classes come from anywhere.
TEST(Page, NothingInItCanAct) {
  const std::string evil = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>\xff\x1b[2J";
  RunPage page = small_page();
  page.title = page.status = evil;
  page.facts = {{evil, evil}};
  page.skipped = {{evil, evil}};
  page.labels = {evil, evil + "2"};
  page.samples = {{noise(4, 4), evil, evil, {{evil, std::nan("")}, {evil, -7}, {evil, 1e300}}}};
  page.mistakes = {{{noise(4, 4), evil, "", {{evil, 1}}}, std::nan("")}};
  const std::string html = run_page_html(page);
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<img src=x")));
  EXPECT_THAT(html, Not(HasSubstr("\x1b")));
  std::string one_line = html;
  std::erase(one_line, '\n');
  EXPECT_EQ(clean_utf8(one_line), one_line);
  EXPECT_EQ(count(html, "<img"),
            count(html, "<img class=\"pixels\" alt=\"\" src=\"data:image/png;base64,"));
  EXPECT_EQ(count(html, "http:"), 0u);
  EXPECT_EQ(count(html, "https:"), 0u);
}

TEST(Page, StaysSmallWhateverItIsGiven) {
  RunPage page = small_page();
  page.history = history(3000);
  page.labels.assign(1000, std::string(100'000, 'x'));
  page.confusion.assign(1'000'000, 1);
  page.facts = {{std::string(1 << 20, 'k'), std::string(1 << 20, 'v')}};
  page.skipped.assign(100'000, {std::string(1000, 's'), "broken"});
  page.samples.assign(500, {noise(400, 400), std::string(1 << 20, 'n'), "t", {{"a", 1}}});
  page.mistakes.assign(500, {page.samples[0], 1});
  const std::string html = run_page_html(page);
  EXPECT_EQ(count(html, "<img"), 2 * kMaxPageImages);
  EXPECT_LT(html.size(), 3u << 20);
  EXPECT_THAT(html, HasSubstr("and 99,800 more"));
}

TEST(Page, MatrixUpToAHundredClassesTableBeyond) {
  for (const size_t classes :
       {size_t{1}, size_t{2}, size_t{20}, kMaxPageClasses, kMaxPageClasses + 1}) {
    RunPage page;
    for (size_t i = 0; i < classes; ++i) page.labels.push_back("class " + std::to_string(i));
    page.confusion.assign(classes * classes, 0);
    for (size_t i = 0; i < classes; ++i) page.confusion[i * classes + (i + 1) % classes] = 3;
    const std::string html = run_page_html(page);
    EXPECT_EQ(count(html, "aria-label=\"confusion matrix\""), classes <= kMaxPageClasses ? 1u : 0u);
    EXPECT_EQ(count(html, "<td>class 0</td><td>class 1</td><td>3</td>"), classes > 1 ? 1u : 0u);
  }
}

// Real photos and numbers that a run could have, for eyes.
TEST(Page, OfAWholeRun) {
  RunPage page;
  page.title = "photos: NesT, 10 classes";
  page.status = "finished after 60 epochs in 1:42:07";
  page.facts = {
      {"data", "photos (image folder): 9,469 images to train, 3,925 to validate"},
      {"model", "nest_custom, 6,006,730 parameters, input 96 x 96"},
      {"recipe", "adamw, lr 5e-4 for batch 64, cosine, weight decay 0.05, drop-path 0.1"},
      {"augmentation", "random crop 5–100 %, flip, RandAugment 9/0.5, mixup 0.8, cutmix 1"},
      {"seed", "42"},
      {"machine", "2 cores, AMD EPYC"},
      {"command", "nestvit train photos --workdir out"}};
  page.history = history(60);
  page.labels = {"tench",       "English springer", "cassette player", "chain saw", "church",
                 "French horn", "garbage truck",    "gas pump",        "golf ball", "parachute"};
  for (int i = 0; i < 10; ++i)
    for (int j = 0; j < 10; ++j)
      page.confusion.push_back(i == j ? 330 + 7 * i : (i * 7 + j * 3) % 11 == 0 ? 21 : (i * j) % 5);
  std::vector<fs::path> photos;
  for (const auto& entry : fs::directory_iterator(fs::path(NESTVIT_GOLDENS_DEFAULT) / "photos"))
    if (entry.is_regular_file()) photos.push_back(entry.path());
  std::sort(photos.begin(), photos.end());
  ASSERT_FALSE(photos.empty());
  for (size_t i = 0; i < photos.size(); ++i) {
    const std::string truth = page.labels[i % 10];
    AnsweredImage image{
        read_image(photos[i], {}),
        photos[i].filename(),
        truth,
        {{i % 3 == 2 ? page.labels[(i + 4) % 10] : truth, 0.93 - 0.04 * static_cast<double>(i)},
         {page.labels[(i + 1) % 10], 0.05},
         {page.labels[(i + 2) % 10], 0.013}}};
    if (i % 3 == 2) page.mistakes.push_back({image, 6.2 - 0.2 * static_cast<double>(i)});
    page.samples.push_back(std::move(image));
  }
  page.skipped = {{"train/church/ILSVRC2012_val_00001234.JPEG",
                   "broken JPEG image: premature end of the data"}};
  const std::string html = run_page_html(page);
  EXPECT_LT(html.size(), 1u << 20);
  EXPECT_EQ(count(html, "<img"), page.samples.size() + page.mistakes.size());
  if (const char* path = std::getenv("NESTVIT_PAGE"); path && *path) write_run_page(path, page);
}

}  // namespace
}  // namespace nestvit

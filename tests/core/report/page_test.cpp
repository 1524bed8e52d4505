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
#include "core/report/html.h"
#include "image/codecs/codec.h"
#include "report/markup.h"
#include "support/random_image.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using testing::count;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::random_image;

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
  page.confusion = Confusion(2);
  page.confusion.add(0, 0, 8);
  page.confusion.add(0, 1, 2);
  page.confusion.add(1, 1, 10);
  return page;
}

TEST(Page, TellsWhatRanAndHowItWent) {
  RunPage page = small_page();
  page.skipped = {{"bad.jpg", "truncated"}};
  page.samples = {{random_image(8, 8), "sample.png", "ant", {{"ant", 0.75}, {"bee", 0.25}}}};
  page.mistakes = {{{random_image(8, 8), "worst.png", "bee", {{"ant", 0.99}}}, 4.61}};
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
  page.samples = {
      {random_image(4, 4), evil, evil, {{evil, std::nan("")}, {evil, -7}, {evil, 1e300}}}};
  page.mistakes = {{{random_image(4, 4), evil, "", {{evil, 1}}}, std::nan("")}};
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
  page.confusion = Confusion(1000);
  for (int i = 0; i < 1000; ++i)
    for (int j = 0; j < 1000; ++j) page.confusion.add(i, j);
  page.facts = {{std::string(1 << 20, 'k'), std::string(1 << 20, 'v')}};
  page.skipped.assign(100'000, {std::string(1000, 's'), "broken"});
  page.samples.assign(500, {random_image(400, 400), std::string(1 << 20, 'n'), "t", {{"a", 1}}});
  page.mistakes.assign(500, {page.samples[0], 1});
  const std::string html = run_page_html(page);
  EXPECT_EQ(count(html, "<img"), 2 * kMaxPageImages);
  EXPECT_LT(html.size(), 3u << 20);
  EXPECT_THAT(html, HasSubstr("and 99,800 more"));
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
  page.confusion = Confusion(10);
  for (int i = 0; i < 10; ++i)
    for (int j = 0; j < 10; ++j)
      page.confusion.add(i, j, i == j ? 330 + 7 * i : (i * 7 + j * 3) % 11 == 0 ? 21 : (i * j) % 5);
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

// The confusion matrix as a picture, and the table of the most frequent confusions.
#include "report/page_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "core/report/html.h"
#include "report/page.h"

namespace nestvit {
namespace {

using testing::count;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> classes(size_t number) {
  std::vector<std::string> labels;
  for (size_t i = 0; i < number; ++i) labels.push_back("class " + std::to_string(i));
  return labels;
}

// `counts` [K, K], row = true class.
Confusion matrix(int number, const std::vector<int64_t>& counts) {
  Confusion confusion(number);
  for (int i = 0; i < number; ++i)
    for (int j = 0; j < number; ++j)
      confusion.add(i, j, counts.at(static_cast<size_t>(i * number + j)));
  return confusion;
}

TEST(PageMatrix, UpToAHundredClassesTableBeyond) {
  for (const size_t number :
       {size_t{1}, size_t{2}, size_t{20}, kMaxPageClasses, kMaxPageClasses + 1}) {
    const int last = static_cast<int>(number) - 1;
    Confusion confusion(last + 1);
    for (int i = 0; i <= last; ++i) confusion.add(i, i == last ? 0 : i + 1, 3);
    const std::string html = confusion_html(classes(number), confusion);
    EXPECT_EQ(count(html, "aria-label=\"confusion matrix\""), number <= kMaxPageClasses ? 1u : 0u);
    EXPECT_EQ(count(html, "<td>class 0</td><td>class 1</td><td>3</td>"), number > 1 ? 1u : 0u);
  }
}

TEST(PageMatrix, CellsSayTheirCountAndShare) {
  const std::string html = confusion_html({"ant", "bee"}, matrix(2, {3, 1, 0, 7}));
  EXPECT_EQ(count(html, "class=\"hit\""), 2u);
  EXPECT_EQ(count(html, "class=\"miss\""), 1u) << "zeros have no cell";
  EXPECT_THAT(html, HasSubstr("ant taken for ant: 3 (75.0 %)"));
  EXPECT_THAT(html, HasSubstr("ant taken for bee: 1 (25.0 %)"));
  EXPECT_THAT(html, HasSubstr("bee taken for bee: 7 (100.0 %)"));
  EXPECT_THAT(html, HasSubstr("fill-opacity=\"0.50\"")) << "the square root of a quarter";
}

TEST(PageMatrix, TheMostFrequentConfusionsComeFirst) {
  const std::string html = confusion_html({"a", "b", "c"}, matrix(3, {5, 1, 0, 9, 5, 4, 0, 4, 5}));
  const size_t first = html.find("<td>b</td><td>a</td><td>9</td><td>50.0 %</td>");
  const size_t second = html.find("<td>b</td><td>c</td><td>4</td>");
  const size_t third = html.find("<td>c</td><td>b</td><td>4</td>");
  const size_t last = html.find("<td>a</td><td>b</td><td>1</td>");
  ASSERT_NE(last, std::string::npos);
  EXPECT_TRUE(first < second && second < third && third < last) << "equal ones by their class";
  std::vector<int64_t> all(30 * 30, 2);
  EXPECT_EQ(count(confusion_html(classes(30), matrix(30, all)), "<tr><td>"), 12u);
}

TEST(PageMatrix, ManyClassesGiveAShortTable) {
  Confusion confusion(21'841);
  for (int i = 0; i < 100; ++i) confusion.add(200 * i, 200 * i + 1);
  const std::string html = confusion_html(classes(21'841), confusion);
  EXPECT_EQ(count(html, "<tr><td>"), 12u);
  EXPECT_LT(html.size(), 5000);
}

TEST(PageMatrix, LongNamesAreCutAndEscaped) {
  const std::string html = confusion_html({std::string(200, 'x'), "<b>"}, matrix(2, {1, 1, 1, 1}));
  EXPECT_THAT(html, Not(HasSubstr(std::string(61, 'x'))));
  EXPECT_THAT(html, HasSubstr(std::string(60, 'x') + "…"));
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;"));
}

// Chinese, Japanese and Korean characters are as wide as the font is high.
TEST(PageMatrix, WideCharactersHaveRoom) {
  const auto room = [](const std::string& name) {
    const std::string html = confusion_html({name, "b"}, matrix(2, {1, 0, 0, 1}));
    const size_t at = html.find("<svg width=\"") + 12;
    return std::stod(html.substr(at));
  };
  EXPECT_GE(room("\u732b\u732b\u732b\u732b") - room("\u732b\u732b"), 2 * 11);
  EXPECT_EQ(room("\u00fc\u00fc"), room("uu"));
}

TEST(PageMatrix, NothingCountedIsNothingShown) {
  EXPECT_EQ(confusion_html({"a", "b"}, Confusion(2)), "");
  EXPECT_THROW(confusion_html({"a", "b"}, matrix(1, {2})), std::logic_error);
}

}  // namespace
}  // namespace nestvit

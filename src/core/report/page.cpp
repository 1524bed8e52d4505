// The sections of a run's page.
#include "report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/file.h"
#include "base/log.h"
#include "report/markup.h"
#include "report/page_chart.h"
#include "report/page_matrix.h"

namespace nestvit {
namespace {

constexpr const char* kStyle =
#include "page.inc"
    ;
constexpr size_t kMaxText = 300;       // characters of a name or a reason
constexpr size_t kMaxFact = 4000;      // of a fact: a whole command line fits
constexpr size_t kMaxTableRows = 400;  // epochs
constexpr size_t kMaxSkipped = 200;

// Cut, cleaned and escaped.
std::string text_of(std::string text, size_t longest = kMaxText) {
  if (text.size() > longest) {
    size_t end = longest;
    while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
    text = text.substr(0, end) + "…";
  }
  return escape_html(text);
}

std::string section(const std::string& title, const std::string& content,
                    const std::string& note = "") {
  if (content.empty()) return "";
  const std::string below =
      note.empty() ? "" : fmt::format("<p class=\"note\">{}</p>\n", escape_html(note));
  return fmt::format("<section>\n<h2>{}</h2>\n{}{}</section>\n", escape_html(title), below,
                     content);
}

// One column of the history: its name, its format, and the value of a line.
struct Column {
  const char* name;
  const char* format;
  std::optional<double> RunPoint::*value;
};
const std::vector<Column>& columns() {
  static const std::vector<Column> all = {
      {"train loss", "{:.4f}", &RunPoint::train_loss},
      {"val loss", "{:.4f}", &RunPoint::val_loss},
      {"top-1 %", "{:.2f}", &RunPoint::val_top1},
      {"top-5 %", "{:.2f}", &RunPoint::val_top5},
      {"learning rate", "{:.3g}", &RunPoint::learning_rate},
      {"images/s", "{:.1f}", &RunPoint::images_per_second},
      {"data wait %", "{:.1f}", &RunPoint::data_wait},
  };
  return all;
}

ChartSeries series_of(const RunPage& page, const std::string& name,
                      std::optional<double> RunPoint::*value, BestPoint best = BestPoint::kNone) {
  ChartSeries series{name, {}, best};
  for (const RunPoint& point : page.history)
    if (point.*value) series.points.emplace_back(point.epoch, *(point.*value));
  return series;
}

std::string charts(const RunPage& page) {
  using enum BestPoint;
  const std::vector<Chart> all = {
      {"Loss",
       "",
       false,
       {series_of(page, "train", &RunPoint::train_loss),
        series_of(page, "validation", &RunPoint::val_loss, kLowest)}},
      {"Accuracy",
       " %",
       false,
       {series_of(page, "top-1", &RunPoint::val_top1, kHighest),
        series_of(page, "top-5", &RunPoint::val_top5)}},
      {"Learning rate", "", true, {series_of(page, "per step", &RunPoint::learning_rate)}},
      {"Throughput", "", true, {series_of(page, "images/s", &RunPoint::images_per_second)}},
      {"Waiting for data", " %", true, {series_of(page, "% of the time", &RunPoint::data_wait)}},
  };
  std::string html;
  for (const Chart& chart : all) html += chart_html(chart);
  return html.empty() ? "" : "<div class=\"charts\">\n" + html + "</div>\n";
}

const RunPoint* best_point(const std::vector<RunPoint>& history) {
  const RunPoint* best = nullptr;
  for (const RunPoint& point : history)
    if (point.val_top1 && std::isfinite(*point.val_top1) &&
        (!best || *point.val_top1 > *best->val_top1))
      best = &point;
  return best;
}

std::string tiles(const RunPage& page) {
  std::string html;
  const auto tile = [&](const std::string& value, const std::string& name) {
    html += fmt::format("<div class=\"box tile\"><b>{}</b><span>{}</span></div>\n", value, name);
  };
  if (const RunPoint* best = best_point(page.history)) {
    tile(fmt::format("{:.2f} %", *best->val_top1), fmt::format("top-1, epoch {:.4g}", best->epoch));
    if (best->val_top5) tile(fmt::format("{:.2f} %", *best->val_top5), "top-5 at that epoch");
    if (best->val_loss) tile(fmt::format("{:.4f}", *best->val_loss), "val loss at that epoch");
  }
  std::vector<double> speeds;
  for (const RunPoint& point : page.history)
    if (point.images_per_second && std::isfinite(*point.images_per_second))
      speeds.push_back(*point.images_per_second);
  if (!speeds.empty()) {
    const auto middle = speeds.begin() + std::ssize(speeds) / 2;
    std::nth_element(speeds.begin(), middle, speeds.end());
    tile(fmt::format("{:.4g}", *middle), "images/s, median");
  }
  if (!page.history.empty())
    tile(human_count(page.history.back().step),
         fmt::format("steps, {:.4g} epochs", page.history.back().epoch));
  return html.empty() ? "" : "<div class=\"tiles\">\n" + html + "</div>\n";
}

// One row per evaluation, with the last values of all lines since the evaluation before; every line
// when nothing was evaluated yet.
std::vector<RunPoint> table_rows(const RunPage& page) {
  const auto evaluated = [](const RunPoint& point) { return point.val_loss || point.val_top1; };
  if (!std::any_of(page.history.begin(), page.history.end(), evaluated)) return page.history;
  std::vector<RunPoint> rows;
  RunPoint row;
  for (const RunPoint& point : page.history) {
    row.epoch = point.epoch;
    row.step = point.step;
    for (const Column& column : columns())
      if (point.*column.value) row.*column.value = point.*column.value;
    if (!evaluated(point)) continue;
    rows.push_back(row);
    row = {};
  }
  return rows;
}

std::string epochs(const RunPage& page) {
  const std::vector<RunPoint> rows = table_rows(page);
  if (rows.empty()) return "";
  std::vector<Column> shown;
  for (const Column& column : columns())
    if (std::any_of(rows.begin(), rows.end(),
                    [&](const RunPoint& row) { return (row.*column.value).has_value(); }))
      shown.push_back(column);
  std::string html =
      "<div class=\"box scroll tall\"><table class=\"numbers\"><thead><tr>"
      "<th>epoch</th><th>step</th>";
  for (const Column& column : shown) html += fmt::format("<th>{}</th>", column.name);
  html += "</tr></thead><tbody>\n";
  const RunPoint* best = best_point(rows);
  const size_t every = (rows.size() + kMaxTableRows - 1) / kMaxTableRows;
  for (size_t i = 0; i < rows.size(); ++i) {
    const bool is_best = &rows[i] == best;
    if (i % every != 0 && !is_best && i + 1 != rows.size()) continue;
    html += fmt::format("<tr{}><td>{:.6g}</td><td>{}</td>", is_best ? " class=\"best\"" : "",
                        rows[i].epoch, human_count(rows[i].step));
    for (const Column& column : shown) {
      const auto& value = rows[i].*column.value;
      html += fmt::format("<td>{}</td>", value ? fmt::format(fmt::runtime(column.format), *value)
                                               : std::string("–"));
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string answer_html(const AnsweredImage& image, size_t rank) {
  const Answer& answer = image.answers[rank];
  const char* mark = rank > 0                      ? ""
                     : image.truth.empty()         ? " plain"
                     : answer.label == image.truth ? " right"
                                                   : " wrong";
  const double share =
      std::isfinite(answer.probability) ? std::clamp(answer.probability, 0.0, 1.0) : 0;
  return fmt::format(
      "<div class=\"row{}\"><div class=\"answer\"><span>{}</span><span>{:.1f} %</span></div>"
      "<div class=\"bar\"><i style=\"width:{:.1f}%\"></i></div></div>",
      mark, text_of(answer.label), 100 * share, 100 * share);
}

std::string card(const AnsweredImage& image, std::optional<double> loss) {
  constexpr size_t kMaxAnswers = 5;
  const bool tiny = std::max(image.image.width, image.image.height) <= 64;
  std::string html = "<figure class=\"box card\">";
  if (const std::string uri = image_uri(image.image, kMaxPageImageSide); !uri.empty())
    html += fmt::format("<img{} alt=\"\" src=\"{}\">", tiny ? " class=\"pixels\"" : "", uri);
  const std::string name = text_of(image.title);
  html += fmt::format("<figcaption><div class=\"name\" title=\"{0}\">{0}</div>", name);
  if (!image.truth.empty())
    html += fmt::format("<div class=\"truth\">{}</div>", text_of(image.truth));
  if (loss) html += fmt::format("<div class=\"loss\">loss {:.2f}</div>", *loss);
  for (size_t i = 0; i < std::min(image.answers.size(), kMaxAnswers); ++i)
    html += answer_html(image, i);
  return html + "</figcaption></figure>\n";
}

template <class Items>
std::string cards(const Items& items, const std::function<std::string(size_t)>& card_of) {
  std::string html;
  for (size_t i = 0; i < std::min<size_t>(items.size(), kMaxPageImages); ++i) html += card_of(i);
  return html.empty() ? "" : "<div class=\"cards\">\n" + html + "</div>\n";
}

std::string pairs_table(const std::string& kind,
                        const std::vector<std::pair<std::string, std::string>>& pairs, size_t most,
                        size_t longest) {
  if (pairs.empty()) return "";
  std::string html = fmt::format("<div class=\"box scroll tall\"><table class=\"{}\">\n", kind);
  for (size_t i = 0; i < std::min(pairs.size(), most); ++i)
    html += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", text_of(pairs[i].first),
                        text_of(pairs[i].second, longest));
  if (pairs.size() > most)
    html += fmt::format("<tr><th></th><td>and {} more</td></tr>\n",
                        human_count(std::ssize(pairs) - static_cast<int64_t>(most)));
  return html + "</table></div>\n";
}

}  // namespace

std::string html_section(const std::string& title, const std::string& content,
                         const std::string& note) {
  return section(title, content, note);
}

std::string html_facts(const std::vector<std::pair<std::string, std::string>>& facts) {
  return pairs_table("facts", facts, facts.size(), kMaxFact);
}

std::string html_page(const std::string& title, const std::string& body) {
  // The policy lets nothing load and nothing run, whatever a name holds.
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n"
      "<body>\n{}</body>\n</html>\n",
      text_of(title), kStyle, body);
}

std::string run_page_html(const RunPage& page) {
  std::string body = fmt::format("<header><h1>{}</h1>\n<p class=\"status\">{}</p></header>\n",
                                 text_of(page.title), text_of(page.status));
  body += tiles(page);
  body += section("Curves", charts(page));
  body += section("What ran", pairs_table("facts", page.facts, page.facts.size(), kMaxFact));
  body += section("Sample predictions",
                  cards(page.samples, [&](size_t i) { return card(page.samples[i], {}); }),
                  "Validation images: the true class, and the model's best answers.");
  body +=
      section("Worst mistakes",
              cards(page.mistakes,
                    [&](size_t i) { return card(page.mistakes[i].image, page.mistakes[i].loss); }),
              "The validation images with the highest loss. Wrong labels are often among them.");
  body += section("Confusion", confusion_html(page.labels, page.confusion));
  body += section("Evaluations", epochs(page));
  body += section("Skipped images", pairs_table("facts list", page.skipped, kMaxSkipped, kMaxText),
                  fmt::format("{} images could not be read and were left out.",
                              human_count(std::ssize(page.skipped))));
  return html_page(page.title, body);
}

void write_run_page(const std::filesystem::path& path, const RunPage& page) {
  write_file(path, run_page_html(page));
}

}  // namespace nestvit

// Cells as SVG, shaded by their share of the true class.
#include "report/page_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/log.h"
#include "report/markup.h"
#include "report/page.h"

namespace nestvit {
namespace {

constexpr size_t kMaxLabel = 22;        // characters beside the matrix
constexpr size_t kCountedClasses = 20;  // up to here cells show their counts
constexpr size_t kMaxConfusions = 12;

// Cut to `longest` characters of UTF-8.
std::string short_label(const std::string& label, size_t longest) {
  const std::string clean = clean_utf8(label);
  size_t characters = 0;
  for (size_t i = 0; i < clean.size(); ++i) {
    if ((clean[i] & 0xC0) == 0x80) continue;
    if (++characters > longest) return clean.substr(0, i) + "…";
  }
  return clean;
}

// About its width in font sizes: 0.6 for a letter, 1 for a character of the scripts from U+0800 on.
double width_of(const std::string& text) {
  double width = 0;
  for (const char c : text)
    if ((c & 0xC0) != 0x80) width += static_cast<unsigned char>(c) < 0xE0 ? 0.6 : 1;
  return width;
}

class Matrix {
 public:
  Matrix(const std::vector<std::string>& labels, const Confusion& confusion)
      : labels_(labels),
        confusion_(confusion),
        cell_(labels.size() <= 12   ? 36
              : labels.size() <= 20 ? 30
              : labels.size() <= 50 ? 14
                                    : 9),
        font_(std::min(11.0, cell_)) {
    for (const std::string& label : labels) {
      shown_.push_back(short_label(label, kMaxLabel));
      widest_ = std::max(widest_, width_of(shown_.back()));
    }
  }

  std::string svg() const {
    const double label_width = font_ * widest_;
    // Names above narrow columns stand upright: slanted lines would overlap.
    const bool upright = cell_ < 1.4 * font_;
    const double left = label_width + 12, top = label_width * (upright ? 1 : 0.72) + 12;
    const double plane = cell_ * static_cast<double>(labels_.size());
    std::string svg;
    for (size_t i = 0; i < labels_.size(); ++i) {
      const double at = cell_ * (static_cast<double>(i) + 0.5);
      const std::string name = escape_html(shown_[i]);
      svg += fmt::format(
          "<text class=\"label\" style=\"font-size:{0:g}px\" x=\"{1:.1f}\" y=\"{2:.1f}\" "
          "text-anchor=\"end\">{6}</text><text class=\"label\" style=\"font-size:{0:g}px\" "
          "transform=\"translate({3:.1f} {4:.1f}) rotate({5})\">{6}</text>\n",
          font_, left - 6, top + at + 0.36 * font_, left + at + (upright ? 0.36 * font_ : 3),
          top - 6, upright ? -90 : -45, name);
    }
    const std::vector<int64_t> images = confusion_.images_per_class();
    for (const ConfusedPair& pair : confusion_.pairs())
      svg += cell(pair, images[static_cast<size_t>(pair.label)], left, top);
    svg += fmt::format(
        "<rect class=\"cell\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:g}\" height=\"{:g}\"/>", left,
        top, plane, plane);
    return fmt::format(
        "<svg width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "role=\"img\" aria-label=\"confusion matrix\">{2}</svg>\n",
        left + plane + (upright ? 2 : top), top + plane + 2, svg);
  }

 private:
  std::string cell(const ConfusedPair& pair, int64_t images, double left, double top) const {
    const auto i = static_cast<size_t>(pair.label), j = static_cast<size_t>(pair.predicted);
    // The square root keeps rare confusions visible beside a strong diagonal.
    const double share = static_cast<double>(pair.count) / static_cast<double>(images);
    const double shade = std::sqrt(share);
    const double x = left + cell_ * static_cast<double>(j);
    const double y = top + cell_ * static_cast<double>(i);
    std::string svg = fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:g}\" height=\"{:g}\" "
        "fill-opacity=\"{:.2f}\"><title>{} taken for {}: {} ({:.1f} %)</title></rect>",
        i == j ? "hit" : "miss", x, y, cell_ - 1, cell_ - 1, shade, escape_html(shown_[i]),
        escape_html(shown_[j]), pair.count, 100 * share);
    if (labels_.size() <= kCountedClasses && pair.count <= 99'999)
      svg +=
          fmt::format("<text class=\"count{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
                      shade > 0.6 ? " strong" : "", x + cell_ / 2, y + cell_ / 2 + 4, pair.count);
    return svg + "\n";
  }

  const std::vector<std::string>& labels_;
  const Confusion& confusion_;
  double cell_, font_;  // pixels
  std::vector<std::string> shown_;
  double widest_ = 0;  // of the labels, in font sizes
};

std::string confusions_table(const std::vector<std::string>& labels, const Confusion& confusion) {
  const std::vector<ConfusedPair> mistakes = confusion.mistakes(kMaxConfusions);
  if (mistakes.empty()) return "";
  const std::vector<int64_t> images = confusion.images_per_class();
  std::string html =
      "<div class=\"box scroll\"><table class=\"pairs\"><thead><tr><th>true class</th><th>taken "
      "for</th><th>images</th><th>of the class</th></tr></thead><tbody>\n";
  for (const ConfusedPair& pair : mistakes) {
    const auto label = static_cast<size_t>(pair.label);
    html +=
        fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.1f} %</td></tr>\n",
                    escape_html(short_label(labels[label], 60)),
                    escape_html(short_label(labels[static_cast<size_t>(pair.predicted)], 60)),
                    human_count(pair.count),
                    100.0 * static_cast<double>(pair.count) / static_cast<double>(images[label]));
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace

std::string confusion_html(const std::vector<std::string>& labels, const Confusion& confusion) {
  if (confusion.empty()) return "";
  NESTVIT_CHECK(std::ssize(labels) == confusion.classes());
  std::string html;
  if (labels.size() <= kMaxPageClasses)
    html =
        "<p class=\"note\">Rows are true classes, columns the model's answers; shade: share of "
        "the true class.</p>\n<div class=\"box matrix scroll\">" +
        Matrix(labels, confusion).svg() + "</div>\n";
  return html + confusions_table(labels, confusion);
}

}  // namespace nestvit

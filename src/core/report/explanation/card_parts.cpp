// What large and small cards are made of.
#include "report/explanation/card_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/explanation/words.h"
#include "report/sheet.h"

namespace nestvit {

const CellMap* map_of(const ExplanationRecord& why) {
  return why.tree || why.maps.empty() ? nullptr : &why.maps[0];
}

HeatScale scale_of(const std::vector<ExplanationRecord>& explanations) {
  std::vector<const CellMap*> maps;
  for (const ExplanationRecord& why : explanations)
    if (map_of(why)) maps.push_back(map_of(why));
  return common_scale(maps);
}

ScaledImage picture_of(const ExplanationRecord& why, const ScaledImage& photo,
                       const HeatScale& scale, bool smooth) {
  ScaledImage picture = photo;
  const CellMap* const map = map_of(why);
  if (map) turn_grey(picture.image);
  dim_unseen(picture, why.seen);
  if (map && speaks_for(*map)) lay_heat(picture, {*map, extent_of(why), scale, smooth});
  return picture;
}

void draw_picture(Canvas& canvas, const ExplanationRecord& why, const ScaledImage& picture, int x,
                  int y) {
  const int width = picture.image.width, height = picture.image.height;
  canvas.frame(x - 0.5, y - 0.5, width + 1, height + 1, 1, kEdge);
  canvas.pixels(picture.image, x, y);
  if (why.tree) draw_path(canvas, *why.tree, picture, x, y);
  const CellMap* const map = map_of(why);
  if (!map || speaks_for(*map)) return;
  const std::string notice = map->decided ? "nothing speaks for it" : "undecided: only rounding";
  canvas.font(14, true);
  const double paper = canvas.text_width(notice) + 24;
  const double left = std::max<double>(x, x + (width - paper) / 2), top = y + height / 2.0 - 16;
  canvas.rounded_box(left, top, paper, 32, 8, kInk);
  canvas.text(left + 12, top + 21, notice, kCard);
}

void draw_path_line(Canvas& canvas, const Tree& tree, double x, double y, double room,
                    double size) {
  const double radius = size * 0.66, disc = 2 * radius + 6;
  const auto words = [&](const PathStep& step, bool shares) {
    const bool last = &step == &tree.path.back();
    const std::string share =
        shares
            ? fmt::format(" ({})", share_words(tree.nodes.at(static_cast<size_t>(step.node)).share))
            : "";
    return (step.decided ? quadrant_name(step.quadrant) + share : "undecided") +
           (last ? "" : "  →  ");
  };
  canvas.font(size);
  const auto width = [&](bool shares) {
    double sum = 0;
    for (const PathStep& step : tree.path) sum += disc + canvas.text_width(words(step, shares));
    return sum;
  };
  const bool shares = width(true) <= room;
  if (tree.path.empty() || width(shares) > room) {
    canvas.text(x, y, canvas.fitted(path_words(tree), room), kInk);
    return;
  }
  int number = 0;
  for (const PathStep& step : tree.path) {
    draw_badge(canvas, ++number, x + radius, y - size * 0.36, radius, step.decided);
    canvas.font(size);
    canvas.text(x + disc, y, words(step, shares), step.decided ? kInk : kFaint);
    x += disc + canvas.text_width(words(step, shares));
  }
}

std::vector<std::string> lines_of(Canvas& canvas, const std::string& text, double width) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    at = end + 1;
    if (lines.empty() || canvas.text_width(lines.back() + " " + word) > width)
      lines.push_back(word);
    else
      lines.back() += " " + word;
  }
  return lines;
}

void draw_lines(Canvas& canvas, const std::vector<std::string>& lines, double x, double y) {
  for (const std::string& line : lines) {
    canvas.text(x, y, line, kFaint);
    y += kLineHeight;
  }
}

void draw_legend(Canvas& canvas, const ExplanationRecord& why, const HeatScale& scale, int x,
                 int y) {
  Image colours{14, kLegendWidth, 3, {}};
  for (int row = 0; row < colours.height; ++row)
    for (int i = 0; i < kLegendWidth; ++i) {
      const double part = i / (kLegendWidth - 1.0);
      const double value = scale.most * (scale.is_signed ? 2 * part - 1 : part);
      for (const uint8_t c : heat_colour(scale, value)) colours.pixels.push_back(c);
    }
  canvas.frame(x - 0.5, y - 0.5, kLegendWidth + 1, colours.height + 1, 1, kEdge);
  canvas.pixels(colours, x, y);
  const double right = x + kLegendWidth;
  double line = y + colours.height + 17;
  const std::string most = fmt::format("{:.3g}", scale.most);
  canvas.font(12, true);
  canvas.text(x, line, scale.is_signed ? "−" + most : "0", kInk);
  canvas.text(right, line, scale.is_signed ? "+" + most : most, kInk, 1);
  if (scale.is_signed) canvas.text(x + kLegendWidth / 2.0, line, "0", kInk, 0.5);
  canvas.font(11);
  if (scale.is_signed) {
    line += 15;
    canvas.text(x, line, "against it", kFaint);
    canvas.text(right, line, "for it", kFaint, 1);
  }
  const int cell = map_of(why)->cell;
  const std::string unit =
      fmt::format("{}; each cell {}", unit_words(why),
                  cell == 1 ? "is a pixel of the input"
                            : fmt::format("has {0}\u00a0×\u00a0{0}\u00a0px of the input", cell));
  draw_lines(canvas, lines_of(canvas, unit, kLegendWidth), x, line + 19);
}

}  // namespace nestvit

// What our pictures share: their colours, the paper of a card, a sheet of cards, an answer's bar.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "report/canvas.h"

namespace nestvit {

inline constexpr Colour kPaper{0.957, 0.961, 0.969}, kCard{1, 1, 1}, kEdge{0.87, 0.88, 0.90};
inline constexpr Colour kInk{0.13, 0.15, 0.18}, kFaint{0.45, 0.48, 0.53};
inline constexpr Colour kAnswer{0.20, 0.42, 0.75}, kOther{0.70, 0.74, 0.80};
inline constexpr Colour kTrack{0.925, 0.933, 0.945};

inline constexpr int kGap = 16, kPadding = 12;  // between cards, and inside one
inline constexpr int kBarHeight = 32;           // of an answer

inline void draw_card_paper(Canvas& canvas, double x, double y, double width, double height) {
  canvas.rounded_box(x - 1, y - 1, width + 2, height + 2, 9, kEdge);
  canvas.rounded_box(x, y, width, height, 8, kCard);
}

// The label and the probability above its bar; `strong`: bold, in ink.
inline void draw_answer(Canvas& canvas, const std::string& label, double probability, double x,
                        double y, double width, Colour shade, bool strong) {
  const double share = std::isfinite(probability) ? std::clamp(probability, 0.0, 1.0) : 0;
  canvas.font(12, strong);
  const std::string percent = fmt::format("{:.1f} %", 100 * probability);
  const double room = width - canvas.text_width(percent) - 8;
  canvas.text(x, y + 11, canvas.fitted(label, room), strong ? kInk : kFaint);
  canvas.text(x + width, y + 11, percent, strong ? kInk : kFaint, 1);
  canvas.rounded_box(x, y + 16, width, 7, 3.5, kTrack);
  if (share > 0) canvas.rounded_box(x, y + 16, std::max(width * share, 3.0), 7, 3.5, shade);
}

// A sheet of `count` cards of one size, below `top`; draws each by its place.
inline void write_sheet(const std::filesystem::path& path, int count, int columns, int top,
                        int card_width, int card_height,
                        const std::function<void(Canvas&, int card, double x, double y)>& draw) {
  columns = std::clamp(columns, 1, count);
  const int rows = (count + columns - 1) / columns;
  const int64_t width = kGap + int64_t{columns} * (card_width + kGap);
  const int64_t height = top + int64_t{rows} * (card_height + kGap);
  Canvas canvas(static_cast<int>(std::min<int64_t>(width, Canvas::kMaxEdge + 1)),
                static_cast<int>(std::min<int64_t>(height, Canvas::kMaxEdge + 1)), path.string());
  canvas.box(0, 0, static_cast<double>(width), static_cast<double>(height), kPaper);
  for (int i = 0; i < count; ++i) {
    const int row = i / columns, column = i % columns;
    draw(canvas, i, kGap + column * (card_width + kGap), top + row * (card_height + kGap));
  }
  canvas.write(path);
}

}  // namespace nestvit

// A card: heading, columns of a photo and its tree or heat map, answers.
#include "report/explanation/card.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <optional>
#include <string>

#include "base/check.h"
#include "report/canvas.h"
#include "report/explanation/photo.h"
#include "report/explanation/tree_picture.h"
#include "report/explanation/words.h"
#include "report/sheet.h"

namespace nestvit {
namespace {

constexpr int kMargin = 24, kBetween = 40;          // around and between the parts of a card
constexpr int kMostEdge = 1024, kColumnEdge = 640;  // of a photo: alone, and in columns
constexpr int kEnlargedEdge = 448;                  // of tiny images
constexpr int kLeastWidth = 300;                    // of a photo's column
constexpr int kHeadingHeight = 46, kQuestionHeight = 52;
constexpr int kLegendWidth = 300, kLegendHeight = 74, kSideEdge = 300;
constexpr size_t kMostAnswers = 5;
constexpr double kLineHeight = 17;

// One explanation, ready to draw.
struct Column {
  const Explanation* why = nullptr;
  ScaledImage photo;  // dimmed, under heat
  std::optional<TreePicture> tree;
  const HeatMap* map = nullptr;  // drawn
  double width = 0, height = 0;  // without the question

  int photo_width() const { return photo.image.width; }
  int photo_height() const { return photo.image.height; }
};

const HeatMap* map_of(const Explanation& why) {
  return why.tree || why.maps.empty() ? nullptr : &why.maps[0];
}

HeatScale scale_of(const std::vector<Explanation>& explanations) {
  std::vector<const HeatMap*> maps;
  for (const Explanation& why : explanations)
    if (map_of(why)) maps.push_back(map_of(why));
  return common_scale(maps);
}

// The photo as the card shows it, boxes left out.
ScaledImage picture_of(const Explanation& why, const ScaledImage& photo, const HeatScale& scale,
                       bool smooth) {
  ScaledImage picture = photo;
  const HeatMap* const map = map_of(why);
  if (map) turn_grey(picture.image);
  dim_unseen(picture, why.seen);
  if (map && speaks_for(*map)) lay_heat(picture, {*map, extent_of(why), scale, smooth});
  return picture;
}

// Words over the middle of a picture.
void draw_notice(Canvas& canvas, const std::string& text, double x, double y, double room) {
  canvas.font(14, true);
  const std::string fitted = canvas.fitted(text, room - 24);
  const double width = canvas.text_width(fitted) + 24;
  canvas.rounded_box(x - width / 2, y - 16, width, 32, 8, kInk);
  canvas.text(x, y + 5, fitted, kCard, 0.5);
}

std::string silence_of(const HeatMap& map) {
  return map.decided ? "nothing speaks for it" : "undecided: rounding is all there is";
}

void draw_photo(Canvas& canvas, const Column& column, int x, int y) {
  canvas.frame(x - 0.5, y - 0.5, column.photo_width() + 1, column.photo_height() + 1, 1, kEdge);
  canvas.pixels(column.photo.image, x, y);
  if (column.tree) draw_path(canvas, *column.why->tree, column.photo, x, y);
  if (column.map && !speaks_for(*column.map))
    draw_notice(canvas, silence_of(*column.map), x + column.photo_width() / 2.0,
                y + column.photo_height() / 2.0,
                std::max<double>(column.photo_width(), kLeastWidth));
}

// The text in lines of at most `width`; returns the baseline of the next.
double draw_paragraph(Canvas& canvas, const std::string& text, double x, double y, double width) {
  std::string line;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at), longer = line + (at > 0 ? " " : "") + word;
    at = end + 1;
    if (line.empty() || canvas.text_width(longer) <= width) {
      line = line.empty() ? word : longer;
      continue;
    }
    canvas.text(x, y, canvas.fitted(line, width), kFaint);
    y += kLineHeight;
    line = word;
  }
  if (!line.empty()) canvas.text(x, y, canvas.fitted(line, width), kFaint);
  return y + kLineHeight;
}

// The colours of the scale, its ends as numbers, and their unit.
void draw_legend(Canvas& canvas, const Column& column, const HeatScale& scale, double x, double y) {
  Image colours{14, kLegendWidth, 3, {}};
  for (int row = 0; row < colours.height; ++row)
    for (int i = 0; i < kLegendWidth; ++i) {
      const double part = i / (kLegendWidth - 1.0);
      for (const uint8_t c :
           heat_colour(scale, scale.most * (scale.is_signed ? 2 * part - 1 : part)))
        colours.pixels.push_back(c);
    }
  canvas.frame(x - 0.5, y - 0.5, kLegendWidth + 1, colours.height + 1, 1, kEdge);
  canvas.pixels(colours, static_cast<int>(x), static_cast<int>(y));
  y += colours.height + 17;
  canvas.font(12, true);
  const std::string most = fmt::format("{:.3g}", scale.most);
  canvas.text(x, y, scale.is_signed ? "−" + most : "0", kInk);
  canvas.text(x + kLegendWidth, y, scale.is_signed ? "+" + most : most, kInk, 1);
  if (scale.is_signed) canvas.text(x + kLegendWidth / 2.0, y, "0", kInk, 0.5);
  canvas.font(11);
  y += 16;
  if (scale.is_signed) {
    canvas.text(x, y, "against it", kFaint);
    canvas.text(x + kLegendWidth, y, "for it", kFaint, 1);
  }
  const int cell = column.map->cell;
  canvas.text(x, y + 18,
              canvas.fitted(fmt::format("{}, per {}", unit_words(*column.why),
                                        cell == 1 ? "pixel" : fmt::format("{0} × {0} px", cell)),
                            kLegendWidth),
              kFaint);
}

std::string tree_note(const Explanation& why) {
  const bool masking = why.method == "occlusion";
  return fmt::format(
      "From the whole view the path goes to the quarter that {}, then into it. Bars: a region's "
      "share among the four of its block; orange speaks for the answer, blue (−) against it.{}",
      masking ? "the answer loses most by when it is masked" : "says most for the answer",
      masking ? "" : " A region's cells have also seen a little beyond its border.");
}

class Card {
 public:
  Card(const ExplainedImage& explained, const CardOptions& options)
      : explained_(explained), scale_(scale_of(explained.explanations)) {
    const bool alone = explained.explanations.size() == 1;
    small_ = scaled_down(explained.image, alone ? kMostEdge : kColumnEdge);
    const ScaledImage photo = enlarged(small_, kEnlargedEdge);
    columns_.resize(explained.explanations.size());
    for (size_t i = 0; i < columns_.size(); ++i)
      measure(columns_[i], explained.explanations[i], photo, options.smooth);
  }

  void write(const std::filesystem::path& path) const {
    double width = kMargin, height = 0;
    for (const Column& column : columns_) {
      width += column.width + (&column == &columns_.back() ? kMargin : kBetween);
      height = std::max(height, column.height);
    }
    height += 2 * kMargin + kHeadingHeight + kQuestionHeight + (alone() ? 0 : answers_height());
    const auto whole = [](double side) {
      return static_cast<int>(std::min<double>(side + 0.5, Canvas::kMaxEdge + 1));
    };
    Canvas canvas(whole(width), whole(height), path.string());
    canvas.box(0, 0, width, height, kCard);
    draw(canvas);
    canvas.write(path);
  }

 private:
  bool alone() const { return columns_.size() == 1; }

  const std::vector<ExplainedClass>& answers() const {
    return explained_.explanations[0].predictions;
  }
  double answers_height() const {
    return 18 + static_cast<double>(std::min(answers().size(), kMostAnswers)) * kBarHeight;
  }

  void measure(Column& column, const Explanation& why, const ScaledImage& photo, bool smooth) {
    column.why = &why;
    column.map = map_of(why);
    column.photo = picture_of(why, photo, scale_, smooth);
    const double photo_width = std::max(column.photo_width(), kLeastWidth);
    const double photo_height = column.photo_height();
    double side_width = column.map ? kLegendWidth : 0, side_height = column.map ? kLegendHeight : 0;
    if (why.tree && !why.tree->path.empty()) {
      const double height = TreePicture(*why.tree, small_).height();
      column.tree.emplace(*why.tree, small_, std::clamp(photo_height / height, 1.0, 1.25));
      side_width = column.tree->width();
      side_height = column.tree->height() + 20 + 4 * kLineHeight;
    }
    if (!alone()) {
      column.width = std::max(photo_width, side_width);
      column.height = photo_height + kMargin + side_height;
      return;
    }
    if (column.map) side_height += kSideEdge + kMargin;
    column.width = photo_width + (side_width > 0 ? kBetween + side_width : 0);
    column.height = std::max(photo_height + answers_height(), side_height);
  }

  void draw(Canvas& canvas) const {
    const Explanation& first = explained_.explanations[0];
    const double room = canvas.width() - 2 * kMargin;
    canvas.font(18, true);
    canvas.text(kMargin, kMargin + 16,
                canvas.fitted(std::filesystem::path(first.file).filename().string(), room), kInk);
    canvas.font(12);
    const std::string model = first.variant.empty() ? first.origin : first.variant;
    canvas.text(kMargin, kMargin + 36,
                canvas.fitted((model.empty() ? "" : model + " · ") + method_words(first), room),
                kFaint);
    double x = kMargin;
    const double y = kMargin + kHeadingHeight;
    for (const Column& column : columns_) {
      draw_question(canvas, column, x, y);
      draw_column(canvas, column, static_cast<int>(x), static_cast<int>(y + kQuestionHeight));
      x += column.width + kBetween;
    }
    if (!alone())
      draw_answers(canvas, kMargin, canvas.height() - kMargin - answers_height(),
                   columns_[0].width);
  }

  void draw_question(Canvas& canvas, const Column& column, double x, double y) const {
    const Explanation& why = *column.why;
    std::string probability;
    for (const ExplainedClass& answer : why.predictions)
      if (answer.index == why.target.index)
        probability = fmt::format("  {:.1f} %", 100 * answer.probability);
    canvas.font(16, true);
    const double room = column.width - canvas.text_width(probability);
    canvas.text(x, y + 20, canvas.fitted(question_words(why), room) + probability, kInk);
    canvas.font(13);
    const std::string line = why.tree     ? path_words(*why.tree)
                             : column.map ? "Where the evidence is"
                                          : "";
    canvas.text(x, y + 40, canvas.fitted(line, column.width), kInk);
  }

  void draw_column(Canvas& canvas, const Column& column, int x, int y) const {
    const Explanation& why = *column.why;
    draw_photo(canvas, column, x, y);
    const double photo_width = std::max(column.photo_width(), kLeastWidth);
    if (alone()) draw_answers(canvas, x, y + column.photo_height() + 18, photo_width);
    double side_x = x, side_y = y + column.photo_height() + kMargin;
    if (alone()) side_x = x + photo_width + kBetween, side_y = y;
    if (column.map) {
      if (alone()) {
        const OriginalBox whole =
            PixelBox{0, 0, double(explained_.image.width), double(explained_.image.height)};
        canvas.pixels(region_of(small_, whole, kSideEdge), static_cast<int>(side_x),
                      static_cast<int>(side_y));
        side_y += kSideEdge + kMargin;
      }
      draw_legend(canvas, column, scale_, side_x, side_y);
    } else if (column.tree) {
      column.tree->draw(canvas, side_x, side_y);
      canvas.font(11.5);
      draw_paragraph(canvas, tree_note(why), side_x, side_y + column.tree->height() + 32,
                     column.tree->width());
    }
  }

  void draw_answers(Canvas& canvas, double x, double y, double width) const {
    for (size_t i = 0; i < std::min(answers().size(), kMostAnswers); ++i, y += kBarHeight) {
      const ExplainedClass& answer = answers()[i];
      const bool explained = std::any_of(
          columns_.begin(), columns_.end(),
          [&](const Column& column) { return column.why->target.index == answer.index; });
      draw_answer(canvas, answer.label, answer.probability, x, y, width,
                  explained ? kAnswer : kOther, explained);
    }
  }

  const ExplainedImage& explained_;
  HeatScale scale_;
  ScaledImage small_;
  std::vector<Column> columns_;
};

}  // namespace

void write_explanation_card(const std::filesystem::path& path, const ExplainedImage& explained,
                            const CardOptions& options) {
  NESTVIT_CHECK(!explained.explanations.empty());
  if (explained.image.pixels.empty())
    throw Error(fmt::format("{}: no image to show", path.string()));
  Card(explained, options).write(path);
}

namespace {

constexpr int kSmallEdge = 288, kSmallText = 82;
constexpr int kSmallWidth = kSmallEdge + 2 * kPadding;
constexpr int kSmallHeight = kSmallEdge + 2 * kPadding + kSmallText;

void draw_small_card(Canvas& canvas, const ExplainedImage& card, bool smooth, double x, double y) {
  const Explanation& why = card.explanations.at(0);
  Column column;
  column.why = &why;
  column.map = map_of(why);
  const ScaledImage small = scaled_down(card.image, kSmallEdge);
  column.photo = picture_of(why, enlarged(small, kSmallEdge), scale_of({why}), smooth);
  if (why.tree) column.tree.emplace(*why.tree, small);
  draw_card_paper(canvas, x, y, kSmallWidth, kSmallHeight);
  draw_photo(canvas, column,
             static_cast<int>(x) + kPadding + (kSmallEdge - column.photo_width()) / 2,
             static_cast<int>(y) + kPadding + (kSmallEdge - column.photo_height()) / 2);

  double line = y + kPadding + kSmallEdge + 20;
  canvas.font(13, true);
  canvas.text(x + kPadding, line,
              canvas.fitted(std::filesystem::path(why.file).filename().string(), kSmallEdge), kInk);
  canvas.font(11);
  line += 17;
  const std::string below = why.tree ? path_words(*why.tree) : method_words(why);
  canvas.text(x + kPadding, line, canvas.fitted(below, kSmallEdge), kFaint);
  line += 12;
  double probability = 0;
  for (const ExplainedClass& answer : why.predictions)
    if (answer.index == why.target.index) probability = answer.probability;
  draw_answer(canvas, why.target.label, probability, x + kPadding, line, kSmallEdge, kAnswer, true);
}

}  // namespace

void write_explanation_sheet(const std::filesystem::path& path,
                             const std::vector<ExplainedImage>& images, int columns,
                             const CardOptions& options) {
  if (images.empty()) throw Error(fmt::format("{}: no image to show", path.string()));
  const int count = static_cast<int>(std::min<size_t>(images.size(), Canvas::kMaxEdge));
  write_sheet(path, count, columns, kGap, kSmallWidth, kSmallHeight,
              [&](Canvas& canvas, int i, double x, double y) {
                draw_small_card(canvas, images[static_cast<size_t>(i)], options.smooth, x, y);
              });
}

}  // namespace nestvit

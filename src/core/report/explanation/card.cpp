// A card: heading, columns of a photo and its tree or heat map, answers.
#include "report/explanation/card.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <optional>
#include <string>

#include "base/check.h"
#include "report/canvas.h"
#include "report/explanation/card_parts.h"
#include "report/explanation/tree_picture.h"
#include "report/explanation/words.h"
#include "report/sheet.h"

namespace nestvit {
namespace {

constexpr int kMargin = 24, kBetween = 40;          // around and between the parts of a card
constexpr int kMostEdge = 1024, kColumnEdge = 640;  // of a photo: alone, and in columns
constexpr int kEnlargedEdge = 448;                  // of tiny images
constexpr int kLeastWidth = 300;                    // of a photo's column
constexpr int kLeastColumn = 480;                   // where there are several
constexpr int kTitleHeight = 26, kQuestionHeight = 62;
constexpr int kColourEdge = 300;  // of the photo beside heat
constexpr int kLeastAnswers = 220, kMostAnswersWidth = 480;
constexpr size_t kMostAnswers = 5;
constexpr double kNoteSize = 11.5;
constexpr int kNoteAbove = 20;  // between the tree and the note

// One explanation, ready to draw. Beside the photo, or below it where there are several columns, is
// the tree, or the scale of the heat: `side`.
struct Column {
  const ExplanationRecord* why = nullptr;
  ScaledImage picture;
  std::optional<TreePicture> tree;
  std::vector<std::string> note;  // below the tree
  bool heat = false;
  double side_width = 0, side_height = 0;

  double photo_width() const { return std::max(picture.image.width, kLeastWidth); }
  int photo_height() const { return picture.image.height; }
};

std::string note_of(const ExplanationRecord& why) {
  const bool masking = why.method == "occlusion";
  return fmt::format(
      "From the whole view the path goes to the quarter that {}, then into that quarter. Bars: a "
      "region's share among the four of its block; orange speaks for the answer, blue (−) against "
      "it.{}",
      masking ? "costs the answer most when it is masked" : "says most for the answer",
      masking ? "" : " A region's cells have also seen a little beyond its border.");
}

class Card {
 public:
  Card(const ExplainedImage& explained, const CardOptions& options)
      : explained_(explained), scale_(scale_of(explained.explanations)) {
    columns_.resize(explained.explanations.size());
    small_ = scaled_down(explained.image, alone() ? kMostEdge : kColumnEdge);
    const ScaledImage photo = enlarged(small_, kEnlargedEdge);
    const int longest = std::max(small_.image.height, small_.image.width);
    const auto side = [&](int length) { return std::max(1, kColourEdge * length / longest); };
    colour_ = region_of(small_,
                        {0, 0, static_cast<double>(explained.image.width),
                         static_cast<double>(explained.image.height)},
                        side(small_.image.height), side(small_.image.width));
    for (size_t i = 0; i < columns_.size(); ++i)
      measure(columns_[i], explained.explanations[i], photo, options.smooth);
  }

  void write(const std::filesystem::path& path) const {
    double width = 2 * kMargin - kBetween, height = 0;
    for (const Column& column : columns_) {
      width += width_of(column) + kBetween;
      height = std::max(height, height_of(column));
    }
    height += 2 * kMargin + kTitleHeight + kQuestionHeight;
    const auto whole = [](double side) {
      return static_cast<int>(std::min<double>(side + 0.5, Canvas::kMaxEdge + 1));
    };
    Canvas canvas(whole(width), whole(height), path.string());
    canvas.box(0, 0, canvas.width(), canvas.height(), kCard);
    draw_title(canvas);
    double x = kMargin;
    const int y = kMargin + kTitleHeight;
    for (const Column& column : columns_) {
      draw_question(canvas, column, x, y);
      draw_column(canvas, column, static_cast<int>(x), y + kQuestionHeight);
      x += width_of(column) + kBetween;
    }
    canvas.write(path);
  }

 private:
  bool alone() const { return columns_.size() == 1; }

  const std::vector<ExplainedClass>& answers() const {
    return explained_.explanations[0].predictions;
  }
  double answers_height() const {
    return static_cast<double>(std::min(answers().size(), kMostAnswers)) * kBarHeight;
  }
  // Of several columns, the answers stand where the tree leaves room beside the photo.
  bool answers_beside(const Column& column) const {
    return !alone() && width_of(column) - column.photo_width() >= kBetween + kLeastAnswers;
  }

  double width_of(const Column& column) const {
    if (alone())
      return column.photo_width() + (column.side_width > 0 ? kBetween + column.side_width : 0);
    return std::max<double>({column.photo_width(), column.side_width, kLeastColumn});
  }
  double height_of(const Column& column) const {
    const double answers = answers_height() + kGap;
    if (alone()) return std::max(column.photo_height() + answers, column.side_height);
    return answers_beside(column)
               ? std::max<double>(column.photo_height(), answers) + kMargin + column.side_height
               : column.photo_height() + answers + kMargin + column.side_height;
  }

  void measure(Column& column, const ExplanationRecord& why, const ScaledImage& photo,
               bool smooth) {
    column.why = &why;
    column.picture = picture_of(why, photo, scale_, smooth);
    column.heat = map_of(why) && speaks_for(*map_of(why));
    if (why.tree && !why.tree->path.empty()) {
      const double note = kNoteAbove + 2 * kLineHeight;
      column.tree.emplace(why, small_, alone() ? column.photo_height() - note : 0);
      Canvas ruler(1, 1, "");
      ruler.font(kNoteSize);
      column.side_width = column.tree->width();
      column.note = lines_of(ruler, note_of(why), column.side_width);
      column.side_height = column.tree->height() + kNoteAbove +
                           static_cast<double>(column.note.size()) * kLineHeight;
    } else if (map_of(why)) {
      column.side_width = kLegendWidth;
      column.side_height =
          (column.heat ? kLegendHeight : 0) + (alone() ? colour_.height + kMargin : 0);
    }
  }

  void draw_title(Canvas& canvas) const {
    const ExplanationRecord& why = explained_.explanations[0];
    const std::string model = why.variant.empty() ? why.origin : why.variant;
    const std::string how = "  " + (model.empty() ? "" : model + " · ") + method_words(why);
    const std::string name = std::filesystem::path(why.file).filename().string();
    double room = canvas.width() - 2 * kMargin;
    canvas.font(13, true);
    const std::string title = canvas.fitted(name, room * 0.6);
    const double width = canvas.text_width(title);
    canvas.text(kMargin, kMargin + 12, title, kInk);
    canvas.font(12);
    canvas.text(kMargin + width, kMargin + 12, canvas.fitted(how, room - width), kFaint);
  }

  void draw_question(Canvas& canvas, const Column& column, double x, double y) const {
    const ExplanationRecord& why = *column.why;
    const double room = width_of(column);
    std::string words = question_words(why), probability;
    for (const ExplainedClass& answer : why.predictions)
      if (answer.index == why.target.index)
        probability = fmt::format("  {:.1f} %", 100 * answer.probability);
    double size = 20;
    for (; size > 13; --size) {
      canvas.font(size, true);
      if (canvas.text_width(words + probability) <= room) break;
    }
    canvas.font(size, true);
    words = canvas.fitted(words, room - canvas.text_width(probability));
    canvas.text(x, y + 20, words, kInk);
    const double width = canvas.text_width(words);
    canvas.font(size);
    canvas.text(x + width, y + 20, probability, kFaint);
    if (why.tree) {
      draw_path_line(canvas, *why.tree, x, y + 46, room, 13);
    } else if (column.heat) {
      canvas.font(13);
      canvas.text(x, y + 46,
                  canvas.fitted(scale_.is_signed ? "Orange speaks for it, blue against it"
                                                 : "The lighter, the more it matters",
                                room),
                  kInk);
    }
  }

  void draw_column(Canvas& canvas, const Column& column, int x, int y) const {
    draw_picture(canvas, *column.why, column.picture, x, y);
    const int below = y + column.photo_height() + kGap;
    const double width = std::min<double>(column.photo_width(), kMostAnswersWidth);
    if (alone()) {
      draw_answers(canvas, column, x, below, width);
      draw_side(canvas, column, x + static_cast<int>(column.photo_width()) + kBetween, y);
    } else if (answers_beside(column)) {
      const double left = x + column.photo_width() + kBetween;
      draw_answers(canvas, column, left, y,
                   std::min<double>(x + width_of(column) - left, kMostAnswersWidth));
      const double high = std::max<double>(column.photo_height(), answers_height() + kGap);
      draw_side(canvas, column, x, y + static_cast<int>(high) + kMargin);
    } else {
      draw_answers(canvas, column, x, below, width);
      draw_side(canvas, column, x, below + static_cast<int>(answers_height()) + kMargin);
    }
  }

  void draw_side(Canvas& canvas, const Column& column, int x, int y) const {
    if (column.tree) {
      column.tree->draw(canvas, x, y);
      canvas.font(kNoteSize);
      draw_lines(canvas, column.note, x, y + column.tree->height() + kNoteAbove + 12);
    } else if (map_of(*column.why)) {
      if (alone()) {
        canvas.pixels(colour_, x, y);
        y += colour_.height + kMargin;
      }
      if (column.heat) draw_legend(canvas, *column.why, scale_, x, y);
    }
  }

  void draw_answers(Canvas& canvas, const Column& column, double x, double y, double width) const {
    for (size_t i = 0; i < std::min(answers().size(), kMostAnswers); ++i, y += kBarHeight) {
      const ExplainedClass& answer = answers()[i];
      const bool explained = column.why->target.index == answer.index;
      draw_answer(canvas, answer.label, answer.probability, x, y, width,
                  explained ? kAnswer : kOther, explained);
    }
  }

  const ExplainedImage& explained_;
  HeatScale scale_;
  ScaledImage small_;  // the photo, never enlarged
  Image colour_;       // the photo beside heat
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

}  // namespace nestvit

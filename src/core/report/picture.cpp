// The two sheets and the confusion matrix.
#include "report/picture.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/log.h"
#include "report/canvas.h"
#include "report/markup.h"
#include "report/sheet.h"

namespace nestvit {
namespace {

constexpr Colour kRight{0.13, 0.55, 0.33}, kWrong{0.80, 0.24, 0.22};
constexpr Colour kShade{0.10, 0.30, 0.62};  // a share of 1 in the confusion matrix

// One card of the sheet.
constexpr int kImageEdge = 224, kTitleHeight = 27, kTruthHeight = 17;
constexpr int kCardWidth = kImageEdge + 2 * kPadding;

size_t shown_answers(const AnsweredImage& card) {
  return std::min(card.answers.size(), kMaxCardAnswers);
}

// `title_height`: room between the image and the bars, the same on every card of a sheet.
void draw_card(Canvas& canvas, const AnsweredImage& card, double x, double y, double height,
               double title_height) {
  draw_card_paper(canvas, x, y, kCardWidth, height);
  canvas.image(card.image, x + kPadding, y + kPadding, kImageEdge);

  double line = y + kPadding + kImageEdge + 20;
  const bool known = !card.truth.empty();
  const bool right = known && !card.answers.empty() && card.answers[0].label == card.truth;
  canvas.font(13, true);
  canvas.text(x + kPadding, line, canvas.fitted(card.title, kImageEdge), kInk);
  line += kTruthHeight;
  canvas.font(11);
  if (known)
    canvas.text(x + kPadding, line, canvas.fitted("true class: " + card.truth, kImageEdge),
                right ? kFaint : kWrong);

  line = y + kPadding + kImageEdge + title_height + 6;
  for (size_t i = 0; i < shown_answers(card); ++i, line += kBarHeight) {
    const Answer& answer = card.answers[i];
    const Colour shade = i > 0 ? kOther : !known ? kAnswer : right ? kRight : kWrong;
    draw_answer(canvas, answer.label, answer.probability, x + kPadding, line, kImageEdge, shade,
                i == 0);
  }
}

constexpr int kViewEdge = 192, kViewGap = 8, kViewText = 44, kHeading = 34;
constexpr int kViewCardWidth = 2 * kPadding + 2 * kViewEdge + kViewGap;
constexpr int kViewCardHeight = 2 * kPadding + kViewEdge + kViewText;

void draw_view(Canvas& canvas, const TrainingView& view, double x, double y) {
  draw_card_paper(canvas, x, y, kViewCardWidth, kViewCardHeight);
  canvas.image(view.original, x + kPadding, y + kPadding, kViewEdge);
  canvas.image(view.seen, x + kPadding + kViewEdge + kViewGap, y + kPadding, kViewEdge);
  const double room = kViewCardWidth - 2 * kPadding, line = y + kPadding + kViewEdge + 20;
  canvas.font(13, true);
  canvas.text(x + kPadding, line, canvas.fitted(view.label, room), kInk);
  canvas.font(11);
  canvas.text(x + kPadding, line + kTruthHeight, canvas.fitted(view.title, room), kFaint);
}

// The confusion matrix: the size of a cell, and the text that fits into it.
struct MatrixStyle {
  int cell;
  bool counts;     // printed up to 30 classes
  double font;     // of the labels
  int label_step;  // every n-th class is named: cells lower than the font skip names
  double label_room = 0;

  double gap() const { return cell >= 10 ? 1 : 0; }
};

MatrixStyle matrix_style(int classes) {
  MatrixStyle style{};
  style.cell = classes <= 12    ? 56
               : classes <= 30  ? 40
               : classes <= 110 ? 13
                                : std::max(2, 1400 / classes);
  style.counts = classes <= 30;
  style.font = classes <= 30 ? 13 : 10;
  style.label_step = std::max(1, static_cast<int>(std::ceil((style.font + 1) / style.cell)));
  return style;
}

void draw_matrix_labels(Canvas& canvas, const MatrixStyle& style,
                        const std::vector<std::string>& names, double left, double top) {
  canvas.font(style.font);
  const double middle = style.cell / 2.0 + style.font * 0.36;  // half of the height of a capital
  for (size_t i = 0; i < names.size(); i += style.label_step) {
    const double at = static_cast<double>(i) * style.cell;
    canvas.text(left - 8, top + at + middle, canvas.fitted(names[i], style.label_room), kInk, 1);
    canvas.upright_text(left + at + middle, top - 8, canvas.fitted(names[i], style.label_room),
                        kInk);
  }
}

// The classes that the picture shows, and where each stands in it.
struct ShownClasses {
  std::vector<int> classes;     // ascending
  std::vector<int> places;      // [K]; -1: not shown
  std::vector<int64_t> images;  // [K]
};

ShownClasses shown_classes(const Confusion& confusion) {
  ShownClasses shown;
  if (confusion.classes() > kMaxMatrixClasses)
    shown.classes = confusion.most_confused_classes(kPicturedClasses);
  else
    for (int k = 0; k < confusion.classes(); ++k) shown.classes.push_back(k);
  shown.places.assign(static_cast<size_t>(confusion.classes()), -1);
  for (size_t i = 0; i < shown.classes.size(); ++i)
    shown.places[static_cast<size_t>(shown.classes[i])] = static_cast<int>(i);
  shown.images = confusion.images_per_class();
  return shown;
}

void draw_matrix_grid(Canvas& canvas, const MatrixStyle& style, size_t classes, double left,
                      double top) {
  const double plane = static_cast<double>(classes) * style.cell;
  canvas.box(left - 1, top - 1, plane + 1, plane + 1, kEdge);
  if (style.gap() == 0) {
    canvas.box(left, top, plane, plane, kCard);
    return;
  }
  for (size_t i = 0; i < classes; ++i)
    for (size_t j = 0; j < classes; ++j)
      canvas.box(left + static_cast<double>(j) * style.cell,
                 top + static_cast<double>(i) * style.cell, style.cell - style.gap(),
                 style.cell - style.gap(), kCard);
}

void draw_matrix_cells(Canvas& canvas, const MatrixStyle& style, const Confusion& confusion,
                       const ShownClasses& shown, double left, double top) {
  for (const ConfusedPair& pair : confusion.pairs()) {
    const int row = shown.places[static_cast<size_t>(pair.label)];
    const int column = shown.places[static_cast<size_t>(pair.predicted)];
    if (row < 0 || column < 0) continue;
    const auto images = static_cast<double>(shown.images[static_cast<size_t>(pair.label)]);
    // The square root keeps rare confusions visible beside a strong diagonal.
    const double s = std::sqrt(static_cast<double>(pair.count) / images);
    const Colour shade = row == column ? kShade : kWrong;
    const Colour mixed{1 + s * (shade.r - 1), 1 + s * (shade.g - 1), 1 + s * (shade.b - 1)};
    const double x = left + column * style.cell, y = top + row * style.cell;
    canvas.box(x, y, style.cell - style.gap(), style.cell - style.gap(), mixed);
    if (!style.counts) continue;
    const std::string text = fmt::format("{}", pair.count);
    canvas.font(13, row == column);
    const double fit = std::min(1.0, (style.cell - 6) / canvas.text_width(text));
    canvas.font(13 * fit, row == column);
    canvas.text(x + style.cell / 2.0, y + style.cell / 2.0 + 13 * fit * 0.36, text,
                s > 0.6 ? kCard : kInk, 0.5);
  }
}

void write_matrix_title(Canvas& canvas, const Confusion& confusion, const ShownClasses& shown,
                        double x, double y) {
  int64_t all = 0, right = 0;
  for (const ConfusedPair& pair : confusion.pairs()) {
    all += pair.count;
    right += pair.label == pair.predicted ? pair.count : 0;
  }
  const bool part = std::ssize(shown.classes) < confusion.classes();
  canvas.font(17, true);
  canvas.text(x, y + 14,
              part ? fmt::format("The {} most confused of {} classes", shown.classes.size(),
                                 human_count(confusion.classes()))
                   : "Confusion matrix",
              kInk);
  canvas.font(12);
  canvas.text(
      x, y + 35,
      fmt::format("{} of {} images right ({:.2f} %); shade: share of the true class", right, all,
                  all > 0 ? 100.0 * static_cast<double>(right) / static_cast<double>(all) : 0.0),
      kFaint);
}

}  // namespace

void write_answer_sheet(const std::filesystem::path& path, const std::vector<AnsweredImage>& images,
                        int columns) {
  if (images.empty()) throw Error(fmt::format("{}: no image to show", path.string()));
  const int count = static_cast<int>(std::min<size_t>(images.size(), Canvas::kMaxEdge));
  size_t answers = 0;
  int title_height = kTitleHeight;
  for (const AnsweredImage& card : images) {
    answers = std::max(answers, shown_answers(card));
    if (!card.truth.empty()) title_height = kTitleHeight + kTruthHeight;
  }
  const int card_height =
      2 * kPadding + kImageEdge + title_height + static_cast<int>(answers) * kBarHeight;
  write_sheet(path, count, columns, kGap, kCardWidth, card_height,
              [&](Canvas& canvas, int i, double x, double y) {
                draw_card(canvas, images[i], x, y, card_height, title_height);
              });
}

void write_training_sheet(const std::filesystem::path& path, const std::string& heading,
                          const std::vector<TrainingView>& views, int columns) {
  if (views.empty()) throw Error(fmt::format("{}: no image to show", path.string()));
  const int count = static_cast<int>(std::min<size_t>(views.size(), Canvas::kMaxEdge));
  write_sheet(path, count, columns, kGap + kHeading, kViewCardWidth, kViewCardHeight,
              [&](Canvas& canvas, int i, double x, double y) {
                if (i == 0) {
                  canvas.font(15, true);
                  canvas.text(kGap, kGap + 16, canvas.fitted(heading, canvas.width() - 2.0 * kGap),
                              kInk);
                }
                draw_view(canvas, views[i], x, y);
              });
}

void write_confusion_picture(const std::filesystem::path& path, const Confusion& confusion,
                             const std::vector<std::string>& labels) {
  NESTVIT_CHECK(!labels.empty() && std::ssize(labels) == confusion.classes());
  const ShownClasses shown = shown_classes(confusion);
  std::vector<std::string> names;
  for (const int k : shown.classes) names.push_back(clean_utf8(labels[static_cast<size_t>(k)]));
  MatrixStyle style = matrix_style(static_cast<int>(names.size()));
  {
    Canvas ruler(1, 1, path.string());
    ruler.font(style.font);
    for (const std::string& name : names)
      style.label_room = std::max(style.label_room, ruler.text_width(name) + 1);
    style.label_room = std::min(style.label_room, 180.0);
  }
  constexpr int kMargin = 24, kTitle = 58, kAxis = 24;
  const double left = kMargin + kAxis + style.label_room + 8;
  const double top = kMargin + kTitle + kAxis + style.label_room + 8;
  const double plane = static_cast<double>(names.size()) * style.cell;
  const double width = std::max(left + plane, 470.0) + kMargin;
  const double height = top + plane + kMargin;
  Canvas canvas(static_cast<int>(width), static_cast<int>(height), path.string());
  canvas.box(0, 0, width, height, kCard);
  write_matrix_title(canvas, confusion, shown, kMargin, kMargin);

  canvas.font(13, true);
  canvas.text(left + plane / 2, kMargin + kTitle + 12, "predicted class", kInk, 0.5);
  canvas.upright_text(kMargin + 12, top + plane / 2, "true class", kInk, 0.5);

  draw_matrix_grid(canvas, style, names.size(), left, top);
  draw_matrix_cells(canvas, style, confusion, shown, left, top);
  draw_matrix_labels(canvas, style, names, left, top);
  canvas.write(path);
}

}  // namespace nestvit

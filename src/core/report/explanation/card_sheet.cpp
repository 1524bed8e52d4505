// A grid of small cards.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <string>

#include "base/check.h"
#include "report/explanation/card.h"
#include "report/explanation/card_parts.h"
#include "report/explanation/words.h"
#include "report/sheet.h"

namespace nestvit {
namespace {

constexpr int kPhotoEdge = 288, kTextHeight = 78;
constexpr int kWidth = kPhotoEdge + 2 * kPadding, kHeight = kPhotoEdge + 2 * kPadding + kTextHeight;

void draw_small_card(Canvas& canvas, const ExplainedImage& card, bool smooth, double x, double y) {
  const ExplanationRecord& why = card.explanations.at(0);
  const ScaledImage photo = enlarged(scaled_down(card.image, kPhotoEdge), kPhotoEdge);
  const ScaledImage picture = picture_of(why, photo, scale_of({why}), smooth);
  draw_card_paper(canvas, x, y, kWidth, kHeight);
  x += kPadding;
  y += kPadding;
  draw_picture(canvas, why, picture, static_cast<int>(x) + (kPhotoEdge - picture.image.width) / 2,
               static_cast<int>(y) + (kPhotoEdge - picture.image.height) / 2);
  y += kPhotoEdge + 20;
  canvas.font(13, true);
  canvas.text(x, y, canvas.fitted(std::filesystem::path(why.file).filename().string(), kPhotoEdge),
              kInk);
  y += 19;
  if (why.tree) {
    draw_path_line(canvas, *why.tree, x, y, kPhotoEdge, 11);
  } else {
    canvas.font(11);
    canvas.text(x, y, canvas.fitted(method_words(why), kPhotoEdge), kFaint);
  }
  double probability = 0;
  for (const ExplainedClass& answer : why.predictions)
    if (answer.index == why.target.index) probability = answer.probability;
  draw_answer(canvas, why.target.label, probability, x, y + 14, kPhotoEdge, kAnswer, true);
}

}  // namespace

void write_explanation_sheet(const std::filesystem::path& path,
                             const std::vector<ExplainedImage>& images, int columns,
                             const CardOptions& options) {
  if (images.empty()) throw Error(fmt::format("{}: no image to show", path.string()));
  for (const ExplainedImage& card : images) NESTVIT_CHECK(!card.explanations.empty());
  const int count = static_cast<int>(std::min<size_t>(images.size(), Canvas::kMaxEdge));
  write_sheet(path, count, columns, kGap, kWidth, kHeight,
              [&](Canvas& canvas, int i, double x, double y) {
                draw_small_card(canvas, images[static_cast<size_t>(i)], options.smooth, x, y);
              });
}

}  // namespace nestvit

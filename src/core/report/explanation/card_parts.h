// What large and small cards are made of.
#pragma once

#include <string>
#include <vector>

#include "explain/explanation.h"
#include "report/canvas.h"
#include "report/explanation/heat.h"
#include "report/explanation/photo.h"

namespace nestvit {

// The heat map that a card shows; null where it shows a tree.
const CellMap* map_of(const ExplanationRecord& why);
// One scale for all that are shown.
HeatScale scale_of(const std::vector<ExplanationRecord>& explanations);

// The photo of a card but for the boxes: what was not seen is dimmed; grey under heat.
ScaledImage picture_of(const ExplanationRecord& why, const ScaledImage& photo,
                       const HeatScale& scale, bool smooth);
// `picture` at (x, y), with the boxes of the path, or the words for a map that shows nothing.
void draw_picture(Canvas& canvas, const ExplanationRecord& why, const ScaledImage& picture, int x,
                  int y);

// The steps of the path, each behind its disc, with shares where there is room; y: the baseline.
void draw_path_line(Canvas& canvas, const Tree& tree, double x, double y, double room, double size);

inline constexpr double kLineHeight = 17;
// `text` in lines of at most `width` in the font that is set.
std::vector<std::string> lines_of(Canvas& canvas, const std::string& text, double width);
void draw_lines(Canvas& canvas, const std::vector<std::string>& lines, double x, double y);

// The colours of the scale, the numbers at its ends, their unit.
inline constexpr int kLegendWidth = 300, kLegendHeight = 88;
void draw_legend(Canvas& canvas, const ExplanationRecord& why, const HeatScale& scale, int x,
                 int y);

}  // namespace nestvit

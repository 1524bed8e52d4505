// The photo of a card: its size, what the model has not seen, heat, and the path's boxes.
#pragma once

#include "explain/explanation.h"
#include "image/image.h"
#include "report/canvas.h"
#include "report/explanation/heat.h"

namespace nestvit {

// An image of the original at another size.
struct ScaledImage {
  Image image;
  double scale_y = 1, scale_x = 1;  // pixels of `image` to a pixel of the original
};

// RGB, shrunk to sides of at most `edge`, never enlarged.
ScaledImage scaled_down(const Image& original, int edge);
// By a whole factor, as long as the sides stay within `edge`.
ScaledImage enlarged(const ScaledImage& photo, int edge);

// What lies in `box` of the original, height x width; much enlarged with sharp pixels.
Image region_of(const ScaledImage& photo, const PixelBox& box, int height, int width);

void turn_grey(Image& image);
// Mixed with white.
void fade_image(Image& image);

// To 35 % of the brightness, outside `seen`.
void dim_unseen(ScaledImage& photo, const OriginalBox& seen);

// Colours with an opacity of 0.55 over `photo`, where the input, at `extent` of the original, lies.
// `smooth`: bilinear between the centres of cells.
struct Heat {
  const CellMap& map;
  PixelBox extent;
  HeatScale scale;
  bool smooth = false;
};
inline constexpr double kHeatOpacity = 0.55;
void lay_heat(ScaledImage& photo, const Heat& heat);

// ExplanationRecord::extent, or what was seen where that is not known.
PixelBox extent_of(const ExplanationRecord& why);

// A number in a disc, of a step of the path.
void draw_badge(Canvas& canvas, int number, double x, double y, double radius, bool decided);

// The boxes of the path, for the photo's top left corner at (x, y): white with dark rims, the last
// one thicker; grey and dashed where nothing decides; a numbered disc at each, unless it would hide
// its box.
void draw_path(Canvas& canvas, const Tree& tree, const ScaledImage& photo, int x, int y);

}  // namespace nestvit

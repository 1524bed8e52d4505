// A picture to draw on: shapes, images, and text in the fonts of this machine. By cairo;
// PNG or JPEG by the name (image/codecs/picture_file.h).
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "image/image.h"

namespace nestvit {

struct Colour {
  double r, g, b;
};

class Canvas {
 public:
  static constexpr int kMaxEdge = 32767;  // cairo's limit for an image surface

  Canvas(int width, int height, const std::string& what);
  ~Canvas();

  int width() const;
  int height() const;

  void box(double x, double y, double width, double height, Colour c);
  void rounded_box(double x, double y, double width, double height, double radius, Colour fill);
  void disc(double x, double y, double radius, Colour fill);
  // The outline of a box: `line` wide, half of it inside.
  void frame(double x, double y, double width, double height, double line, Colour c,
             bool dashed = false);
  // From (x0, y0) down to (x1, y1), upright at both ends: an edge of a tree.
  void branch(double x0, double y0, double x1, double y1, double line, Colour c);
  // The whole image inside the square, centred; tiny ones with sharp pixels.
  void image(const Image& image, double x, double y, double edge);
  // The image pixel by pixel, at whole x and y.
  void pixels(const Image& image, int x, int y);

  // Texts are UTF-8. Each character comes from the first font that has it, DejaVu Sans before all.
  void font(double size, bool bold = false);
  double text_width(const std::string& text);
  // `text`, cleaned, and shortened with an ellipsis to at most `width`.
  std::string fitted(const std::string& text, double width);
  // `anchor`: 0 text starts at x, 0.5 is centred there, 1 ends there; y is the baseline.
  void text(double x, double y, const std::string& text, Colour c, double anchor = 0);
  // Likewise, from the bottom to the top of the picture; x is the baseline.
  void upright_text(double x, double y, const std::string& text, Colour c, double anchor = 0);

  // Warns of the characters that no font of this machine has.
  void write(const std::filesystem::path& path);

 private:
  struct Drawing;
  std::unique_ptr<Drawing> drawing_;
};

}  // namespace nestvit

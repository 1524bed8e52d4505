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

  void box(double x, double y, double width, double height, Colour c);
  void rounded_box(double x, double y, double width, double height, double radius, Colour fill);
  // The whole image inside the square, centred; tiny ones with sharp pixels.
  void image(const Image& image, double x, double y, double edge);

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

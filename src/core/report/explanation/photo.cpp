// The photo of a card.
#include "report/explanation/photo.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "image/codecs/codec.h"
#include "image/resize.h"
#include "report/markup.h"

namespace nestvit {
namespace {

constexpr double kUnseen = 0.35;
constexpr int kSharpFrom = 3;                             // times larger than the pixels are
constexpr double kLeastFrame = 10, kLeastWithBadge = 26;  // edges on the picture
constexpr Colour kWhite{1, 1, 1}, kRim{0.08, 0.09, 0.11}, kUndecided{0.62, 0.64, 0.68};

uint8_t rounded(double value) { return static_cast<uint8_t>(std::clamp(value + 0.5, 0.0, 255.0)); }

// Each pixel from the one that its centre lies in.
Image sharply_resized(const Image& image, int height, int width) {
  Image resized{height, width, image.channels, {}};
  resized.pixels.reserve(resized.size());
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const auto row = static_cast<size_t>((y + 0.5) * image.height / height);
      const auto column = static_cast<size_t>((x + 0.5) * image.width / width);
      const size_t from =
          (row * static_cast<size_t>(image.width) + column) * static_cast<size_t>(image.channels);
      for (size_t c = 0; c < static_cast<size_t>(image.channels); ++c)
        resized.pixels.push_back(image.pixels[from + c]);
    }
  return resized;
}

// The value at row y, column x, both in cells from the map's top left corner.
double value_at(const CellMap& map, double y, double x, bool smooth) {
  const auto cell = [&](double row, double column) {
    const int r = std::clamp(static_cast<int>(row), 0, map.rows - 1);
    const int c = std::clamp(static_cast<int>(column), 0, map.columns - 1);
    return double{map.values[static_cast<size_t>(r) * map.columns + c]};
  };
  if (!smooth) return cell(y, x);
  const double row = std::clamp(y - 0.5, 0.0, map.rows - 1.0);
  const double column = std::clamp(x - 0.5, 0.0, map.columns - 1.0);
  const double top = std::floor(row), left = std::floor(column);
  const double down = row - top, right = column - left;
  return (1 - down) * ((1 - right) * cell(top, left) + right * cell(top, left + 1)) +
         down * ((1 - right) * cell(top + 1, left) + right * cell(top + 1, left + 1));
}

}  // namespace

ScaledImage scaled_down(const Image& original, int edge) {
  ScaledImage photo{shrunk(to_channels(original, 3), edge)};
  photo.scale_y = static_cast<double>(photo.image.height) / original.height;
  photo.scale_x = static_cast<double>(photo.image.width) / original.width;
  return photo;
}

ScaledImage enlarged(const ScaledImage& photo, int edge) {
  const int factor = edge / std::max(photo.image.height, photo.image.width);
  if (factor < 2) return photo;
  return {sharply_resized(photo.image, photo.image.height * factor, photo.image.width * factor),
          photo.scale_y * factor, photo.scale_x * factor};
}

Image region_of(const ScaledImage& photo, const PixelBox& box, int height, int width) {
  const auto whole = [](double at, int most) {
    return std::clamp(static_cast<int>(std::lround(at)), 0, most);
  };
  const int top = whole(box[1] * photo.scale_y, photo.image.height - 1);
  const int left = whole(box[0] * photo.scale_x, photo.image.width - 1);
  const Box part{top, left, std::max(1, whole(box[3] * photo.scale_y, photo.image.height) - top),
                 std::max(1, whole(box[2] * photo.scale_x, photo.image.width) - left)};
  const Image cut = crop(photo.image, part);
  if (height >= kSharpFrom * part.height && width >= kSharpFrom * part.width)
    return sharply_resized(cut, height, width);
  return resize_pil(cut, height, width, Interpolation::kBicubic);
}

void turn_grey(Image& image) {
  if (!image.pixels.empty()) image = to_channels(to_channels(image, 1), 3);
}

void fade_image(Image& image) {
  for (uint8_t& p : image.pixels) p = rounded(0.45 * p + 0.55 * 255);
}

void dim_unseen(ScaledImage& photo, const OriginalBox& seen) {
  const PixelBox box = seen.value_or(PixelBox{});
  size_t i = 0;
  for (int row = 0; row < photo.image.height; ++row) {
    const double y = (row + 0.5) / photo.scale_y;
    for (int column = 0; column < photo.image.width; ++column, i += 3) {
      const double x = (column + 0.5) / photo.scale_x;
      if (x >= box[0] && x < box[2] && y >= box[1] && y < box[3]) continue;
      for (size_t c = i; c < i + 3; ++c)
        photo.image.pixels[c] = rounded(kUnseen * photo.image.pixels[c]);
    }
  }
}

void lay_heat(ScaledImage& photo, const Heat& heat) {
  const auto [x0, y0, x1, y1] = heat.extent;
  size_t i = 0;
  for (int row = 0; row < photo.image.height; ++row) {
    const double y = ((row + 0.5) / photo.scale_y - y0) / (y1 - y0) * heat.map.rows;
    for (int column = 0; column < photo.image.width; ++column, i += 3) {
      const double x = ((column + 0.5) / photo.scale_x - x0) / (x1 - x0) * heat.map.columns;
      if (!(x >= 0 && x < heat.map.columns && y >= 0 && y < heat.map.rows)) continue;
      const HeatColour colour = heat_colour(heat.scale, value_at(heat.map, y, x, heat.smooth));
      for (size_t c = 0; c < 3; ++c)
        photo.image.pixels[i + c] =
            rounded(kHeatOpacity * colour[c] + (1 - kHeatOpacity) * photo.image.pixels[i + c]);
    }
  }
}

PixelBox extent_of(const ExplanationRecord& why) {
  const PixelBox& given = why.extent;
  if (given[2] > given[0] && given[3] > given[1]) return given;
  return why.seen.value_or(PixelBox{0, 0, double(why.width), double(why.height)});
}

void draw_badge(Canvas& canvas, int number, double x, double y, double radius, bool decided) {
  canvas.disc(x, y, radius + 1.5, kWhite);
  canvas.disc(x, y, radius, decided ? kRim : kUndecided);
  canvas.font(radius * 1.3, true);
  canvas.text(x, y + radius * 0.47, fmt::format("{}", number), kWhite, 0.5);
}

namespace {

struct Frame {
  double left, top, right, bottom;
};

// A box on the picture. Where it would cover the frame that it lies in, it moves inwards.
Frame frame_within(const PixelBox& box, const ScaledImage& photo, const Frame& outer,
                   double distance) {
  const Frame exact{box[0] * photo.scale_x, box[1] * photo.scale_y, box[2] * photo.scale_x,
                    box[3] * photo.scale_y};
  const Frame moved{std::max(exact.left, outer.left + distance),
                    std::max(exact.top, outer.top + distance),
                    std::min(exact.right, outer.right - distance),
                    std::min(exact.bottom, outer.bottom - distance)};
  return moved.right - moved.left < kLeastFrame || moved.bottom - moved.top < kLeastFrame ? exact
                                                                                          : moved;
}

// `line` of white (or dashed grey) between rims of one pixel, all inside the frame.
void draw_frame(Canvas& canvas, const Frame& frame, double line, bool decided) {
  if (std::min(frame.right - frame.left, frame.bottom - frame.top) < 2 * kLeastFrame) line = 1;
  const double inset = 1 + line / 2, x = std::round(frame.left) + inset,
               y = std::round(frame.top) + inset;
  const double width = std::round(frame.right) - inset - x,
               height = std::round(frame.bottom) - inset - y;
  canvas.frame(x, y, width, height, line + 2, kRim);
  canvas.frame(x, y, width, height, line, decided ? kWhite : kUndecided, !decided);
}

}  // namespace

void draw_path(Canvas& canvas, const Tree& tree, const ScaledImage& photo, int x, int y) {
  struct Badge {
    double x, y;
    bool decided;
  };
  std::vector<Badge> badges;
  const double width = photo.image.width, height = photo.image.height;
  Frame outer{-100.0, -100.0, width + 100, height + 100};  // the picture's edge covers nothing
  double radius = 10;
  bool numbered = true;  // discs would hide boxes that are no larger
  for (size_t i = 0; i < tree.path.size(); ++i) {
    const PathStep& step = tree.path[i];
    const OriginalBox& box = tree.nodes.at(static_cast<size_t>(step.node)).box;
    if (!box) break;
    const bool last = i + 1 == tree.path.size();
    const Frame frame = frame_within(*box, photo, outer, 5);
    draw_frame(canvas, {x + frame.left, y + frame.top, x + frame.right, y + frame.bottom},
               last ? 3 : 2, step.decided);
    const double edge = std::min(frame.right - frame.left, frame.bottom - frame.top);
    radius = std::min(radius, std::max(6.0, edge * 0.22));
    numbered = numbered && edge >= kLeastWithBadge;
    // At the corner that the next box does not touch; the last one's within the box around it.
    const int quadrant = last ? step.quadrant : tree.path[i + 1].quadrant;
    badges.push_back({quadrant % 2 == 0 ? frame.right : frame.left,
                      quadrant < 2 ? frame.bottom : frame.top, step.decided});
    outer = frame;
  }
  for (size_t i = 0; numbered && i < badges.size(); ++i) {
    const double margin = radius + 2;
    draw_badge(canvas, static_cast<int>(i) + 1,
               x + std::max(margin, std::min(badges[i].x, width - margin)),
               y + std::max(margin, std::min(badges[i].y, height - margin)), radius,
               badges[i].decided);
  }
}

}  // namespace nestvit

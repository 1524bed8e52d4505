// The two games on the pixels of the input.
#include "explain/score/pointing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"

namespace nestvit {
namespace {

// [S, S]: the pixels of the input whose middle lies in a box.
std::vector<char> inside(std::span<const ObjectBox> boxes, const View& view, int size) {
  std::vector<char> mask(static_cast<size_t>(size) * size);
  for (int y = 0; y < size; ++y) {
    const double oy = view.scale_y * (y + 0.5) + view.shift_y;
    for (int x = 0; x < size; ++x) {
      const double ox = view.scale_x * (x + 0.5) + view.shift_x;
      mask[static_cast<size_t>(y) * size + x] =
          std::any_of(boxes.begin(), boxes.end(), [&](const ObjectBox& box) {
            return ox >= box.x0 && ox < box.x1 + 1 && oy >= box.y0 && oy < box.y1 + 1;
          });
    }
  }
  return mask;
}

// From a pixel to the nearest one of a box.
double distance(double y, double x, const ObjectBox& box) {
  return std::hypot(y - std::clamp(y, box.y0, box.y1), x - std::clamp(x, box.x0, box.x1));
}

}  // namespace

Pointing pointing(const CellMap& map, std::span<const ObjectBox> boxes, const View& view,
                  int size) {
  NESTVIT_CHECK(map.rows > 0 && map.columns == map.rows && size % map.rows == 0 &&
                map.values.size() == static_cast<size_t>(map.rows) * map.columns);
  constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();
  const std::vector<char> mask = inside(boxes, view, size);
  const auto seen = static_cast<double>(std::count(mask.begin(), mask.end(), 1));
  if (seen == 0) return {kUndefined, kUndefined, kUndefined};

  const int cell = size / map.rows;
  const auto best =
      static_cast<int>(std::max_element(map.values.begin(), map.values.end()) - map.values.begin());
  const double y = (best / map.columns + 0.5) * cell, x = (best % map.columns + 0.5) * cell;
  const double row = std::floor(view.scale_y * y + view.shift_y);
  const double column = std::floor(view.scale_x * x + view.shift_x);
  const double tolerance = kPointingTolerance * size / 224;

  double in_boxes = 0, all = 0;
  for (size_t i = 0; i < mask.size(); ++i) {
    const size_t at = i / size / cell * map.columns + i % size / cell;
    const double value = std::max<double>(map.values[at], 0);
    all += value;
    if (mask[i]) in_boxes += value;
  }
  Pointing result;
  result.hit = std::any_of(boxes.begin(), boxes.end(), [&](const ObjectBox& box) {
    return distance(row, column, box) < tolerance;
  });
  result.energy = all > 0 ? in_boxes / all : kUndefined;
  result.area = seen / static_cast<double>(mask.size());
  return result;
}

}  // namespace nestvit

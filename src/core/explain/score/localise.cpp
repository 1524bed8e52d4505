// Components, boxes and their overlap; the enlargement of maps.
#include "explain/score/localise.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace nestvit {
namespace {

// Visits the component of pixel `start` and takes it out of the mask.
Component take_component(std::vector<uint8_t>& mask, int rows, int columns, int start,
                         std::vector<int>& stack) {
  Component found{0, start / columns, start % columns, start / columns, start % columns};
  stack.assign(1, start);
  mask[start] = 0;
  while (!stack.empty()) {
    const int at = stack.back(), y = at / columns, x = at % columns;
    stack.pop_back();
    ++found.pixels;
    found.y1 = std::max(found.y1, y);  // the first pixel is in the topmost row
    found.x0 = std::min(found.x0, x);
    found.x1 = std::max(found.x1, x);
    for (int ny = std::max(y - 1, 0); ny <= std::min(y + 1, rows - 1); ++ny)
      for (int nx = std::max(x - 1, 0); nx <= std::min(x + 1, columns - 1); ++nx)
        if (uint8_t& pixel = mask[ny * columns + nx]; pixel != 0) {
          pixel = 0;
          stack.push_back(ny * columns + nx);
        }
  }
  return found;
}

double cubic(double x) {
  constexpr double a = -0.75;
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// One axis: each of `size` outputs is a sum of four of `count` inputs.
struct Tap {
  std::array<int, 4> index;
  std::array<double, 4> weight;
};
std::vector<Tap> taps(int count, int size) {
  std::vector<Tap> result(static_cast<size_t>(size));
  for (int i = 0; i < size; ++i) {
    const double at = (i + 0.5) * count / size - 0.5;
    const int floor = static_cast<int>(std::floor(at));
    for (int k = 0; k < 4; ++k) {
      result[i].index[k] = std::clamp(floor - 1 + k, 0, count - 1);
      result[i].weight[k] = cubic(at - (floor - 1 + k));
    }
  }
  return result;
}

double span_of(double from, double to) { return std::max(to - from + 1, 0.0); }

}  // namespace

std::optional<Component> largest_component(std::span<const uint8_t> mask, int rows, int columns) {
  NESTVIT_CHECK(mask.size() == static_cast<size_t>(rows) * columns);
  std::vector<uint8_t> left(mask.begin(), mask.end());
  std::vector<int> stack;
  std::optional<Component> largest;
  for (int i = 0; i < rows * columns; ++i) {
    if (left[i] == 0) continue;
    const Component found = take_component(left, rows, columns, i, stack);
    if (!largest || found.pixels > largest->pixels) largest = found;
  }
  return largest;
}

double box_iou(const ObjectBox& a, const ObjectBox& b) {
  const double shared = span_of(std::max(a.x0, b.x0), std::min(a.x1, b.x1)) *
                        span_of(std::max(a.y0, b.y0), std::min(a.y1, b.y1));
  const double both =
      span_of(a.x0, a.x1) * span_of(a.y0, a.y1) + span_of(b.x0, b.x1) * span_of(b.y0, b.y1);
  return shared / (both - shared);
}

double best_iou(const ObjectBox& box, std::span<const ObjectBox> boxes) {
  double best = 0;
  for (const ObjectBox& other : boxes) best = std::max(best, box_iou(box, other));
  return best;
}

ObjectBox squashed(const ObjectBox& box, int height, int width, int size) {
  const auto across = [&](double x) { return std::trunc(x * size / width); };
  const auto down = [&](double y) { return std::trunc(y * size / height); };
  return {across(box.x0), down(box.y0), across(box.x1), down(box.y1)};
}

std::vector<double> enlarged(const CellMap& map, int size) {
  NESTVIT_CHECK(map.rows > 0 && map.columns > 0 &&
                map.values.size() == static_cast<size_t>(map.rows) * map.columns);
  const std::vector<Tap> across = taps(map.columns, size), down = taps(map.rows, size);
  std::vector<double> wide(static_cast<size_t>(map.rows) * size);
  for (int y = 0; y < map.rows; ++y)
    for (int x = 0; x < size; ++x)
      for (int k = 0; k < 4; ++k)
        wide[static_cast<size_t>(y) * size + x] +=
            across[x].weight[k] * map.values[y * map.columns + across[x].index[k]];
  std::vector<double> result(static_cast<size_t>(size) * size);
  for (int y = 0; y < size; ++y)
    for (int k = 0; k < 4; ++k)
      for (int x = 0; x < size; ++x)
        result[static_cast<size_t>(y) * size + x] +=
            down[y].weight[k] * wide[static_cast<size_t>(down[y].index[k]) * size + x];
  return result;
}

std::optional<ObjectBox> cvpr16_box(std::span<const double> map, int size) {
  const double largest = *std::max_element(map.begin(), map.end());
  if (!(largest > 0)) return std::nullopt;
  std::vector<uint8_t> mask;
  for (const double value : map) mask.push_back(value / largest >= kCvpr16Threshold);
  const Component c = *largest_component(mask, size, size);
  return ObjectBox{static_cast<double>(c.x0), static_cast<double>(c.y0), static_cast<double>(c.x1),
                   static_cast<double>(c.y1)};
}

std::vector<uint8_t> scaled_to_bytes(std::span<const double> map) {
  const auto [low, high] = std::minmax_element(map.begin(), map.end());
  const double from = *low, range = *high - *low;
  std::vector<uint8_t> bytes;
  for (const double value : map)
    bytes.push_back(range > 0 ? static_cast<uint8_t>((value - from) / range * 255) : 0);
  return bytes;
}

std::vector<ObjectBox> maxboxacc_boxes(std::span<const uint8_t> bytes, int rows, int columns) {
  const int largest = *std::max_element(bytes.begin(), bytes.end());
  std::vector<ObjectBox> boxes;
  std::vector<uint8_t> mask(bytes.size());
  int above = -1;  // of the last box: many thresholds cut at the same byte
  for (int t = 0; t < kThresholds; ++t) {
    const int cut = static_cast<int>(t * 0.001 * largest);
    if (cut == above) {
      boxes.push_back(boxes.back());
      continue;
    }
    above = cut;
    std::transform(bytes.begin(), bytes.end(), mask.begin(),
                   [cut](uint8_t byte) { return static_cast<uint8_t>(byte > cut); });
    const std::optional<Component> c = largest_component(mask, rows, columns);
    boxes.push_back(c ? ObjectBox{static_cast<double>(c->x0), static_cast<double>(c->y0),
                                  static_cast<double>(std::min(c->x1 + 1, columns - 1)),
                                  static_cast<double>(std::min(c->y1 + 1, rows - 1))}
                      : ObjectBox{});
  }
  return boxes;
}

void MaxBoxAcc::add(std::span<const double> ious) {
  NESTVIT_CHECK(std::ssize(ious) == kThresholds);
  std::vector<uint8_t>& image = hits_.emplace_back(kThresholds);
  for (int t = 0; t < kThresholds; ++t)
    for (size_t k = 0; k < kBoxIous.size(); ++k)
      if (ious[t] >= kBoxIous[k]) image[t] = static_cast<uint8_t>(image[t] | 1 << k);
}

int MaxBoxAcc::best(int k) const {
  std::vector<int64_t> counts(kThresholds);
  for (const std::vector<uint8_t>& image : hits_)
    for (int t = 0; t < kThresholds; ++t) counts[t] += image[t] >> k & 1;
  return static_cast<int>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

std::vector<double> MaxBoxAcc::hits(int k, int threshold) const {
  std::vector<double> result;
  for (const std::vector<uint8_t>& image : hits_) result.push_back(image.at(threshold) >> k & 1);
  return result;
}

}  // namespace nestvit

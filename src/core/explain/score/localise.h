// From a map to a box, by two protocols. cvpr16 (Zhou et al. 2016): pixels of at least a fifth of
// the map's maximum. maxboxacc (Choe et al. 2020, wsolevaluation): every threshold of a thousand,
// and the one that is best over a set.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "explain/explanation.h"
#include "explain/score/boxes.h"

namespace nestvit {

struct Component {
  int64_t pixels = 0;
  int y0 = 0, x0 = 0, y1 = 0, x1 = 0;  // inclusive
};
// The largest component of the pixels that are not 0, neighbours being all eight; of equal ones the
// first in row-major order. mask [rows, columns].
std::optional<Component> largest_component(std::span<const uint8_t> mask, int rows, int columns);

// Intersection over union of boxes with inclusive corners.
double box_iou(const ObjectBox& a, const ObjectBox& b);
double best_iou(const ObjectBox& box, std::span<const ObjectBox> boxes);

// A box of an image height x width on the same image squashed to size x size, cut to whole pixels
// as wsolevaluation cuts it.
ObjectBox squashed(const ObjectBox& box, int height, int width, int size);

// The map at size x size: bicubic with a = -0.75, half-pixel centres, the border continued
// (OpenCV's INTER_CUBIC).
std::vector<double> enlarged(const CellMap& map, int size);

// map [size, size], as enlarged() makes it. Nothing where nothing is positive.
inline constexpr double kCvpr16Threshold = 0.2;
std::optional<ObjectBox> cvpr16_box(std::span<const double> map, int size);

// Thresholds 0, 0.001, ... 0.999 of the map scaled to 0 ... 255 by its minimum and maximum and cut
// to whole numbers: pixels strictly above int(threshold * largest). As in wsolevaluation a box ends
// at min(last pixel + 1, size - 1), and without a pixel it is the first one.
inline constexpr int kThresholds = 1000;
std::vector<uint8_t> scaled_to_bytes(std::span<const double> map);
std::vector<ObjectBox> maxboxacc_boxes(std::span<const uint8_t> bytes, int rows, int columns);

// The hits of a set of images by threshold, at the IoUs kBoxIous[k].
inline constexpr std::array<double, 3> kBoxIous = {0.3, 0.5, 0.7};
class MaxBoxAcc {
 public:
  // The best IoU of each threshold's box [kThresholds].
  void add(std::span<const double> ious);
  int64_t images() const { return std::ssize(hits_); }
  // The number of the threshold with the most hits; the first of equal ones.
  int best(int k) const;
  // Of each image at a threshold: 1 or 0.
  std::vector<double> hits(int k, int threshold) const;

 private:
  std::vector<std::vector<uint8_t>> hits_;  // [image][threshold], bit k
};

}  // namespace nestvit

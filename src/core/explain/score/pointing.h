// Whether a map points at the object: the pointing game (Zhang et al. 2018, as TorchRay counts it)
// and the energy pointing game (Score-CAM, Wang et al. 2020).
#pragma once

#include <span>

#include "explain/explanation.h"
#include "explain/score/boxes.h"
#include "image/transform.h"

namespace nestvit {

// TorchRay's tolerance for inputs of 224 pixels; others get it times S/224.
inline constexpr double kPointingTolerance = 15;

struct Pointing {
  // 1 where the map's largest value (the first of equal ones; the middle of its cell, on the
  // original image) is in a box or less than the tolerance from one.
  double hit = 0;
  // The share of the map's positive part in the boxes; NaN where nothing is positive.
  double energy = 0;
  // The share of the input's pixels in the boxes: the energy of a constant map.
  double area = 0;
};

// `boxes` on the original image, which `view` maps the S x S input to. All NaN where the input sees
// nothing of any box.
Pointing pointing(const CellMap& map, std::span<const ObjectBox> boxes, const View& view, int size);

}  // namespace nestvit

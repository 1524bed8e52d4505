// Sums over channels, arranged as planes.
#include "explain/maps.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace nestvit {
namespace {

// A plane before its cells are made: values of any sign, and the magnitudes of what they sum.
struct Plane {
  int level = 0, side = 0, cell = 1;
  std::vector<double> values;  // [side, side]
  double magnitude = 0;
};

// `positive_part`: what is below 0 becomes 0.
CellMap heat_map(const Plane& plane, bool positive_part) {
  if (!std::isfinite(plane.magnitude))
    throw Error("values of the heat map are not finite",
                "the weights or the input hold NaN or infinity");
  CellMap map;
  map.level = plane.level;
  map.rows = map.columns = plane.side;
  map.cell = plane.cell;
  map.is_signed = !positive_part;
  double absolutes = 0;
  for (const double value : plane.values) {
    absolutes += std::abs(value);
    const double shown = positive_part ? std::max(value, 0.0) : value;
    map.values.push_back(static_cast<float>(shown));
    (shown > 0 ? map.positive : map.negative) += shown;
  }
  map.sum = map.positive + map.negative;
  map.decided = is_decided(absolutes, plane.magnitude);
  return map;
}

// The plane of ConvPool k with weight(value, gradient) summed over the channels of each cell.
template <class F>
Plane summed(const Gradients& gradients, const NestConfig& config, int k, F&& weighted) {
  const std::vector<Level> levels = geometry(config);
  NESTVIT_CHECK(k > 0 && k < std::ssize(levels) && gradients.levels.size() == levels.size());
  const auto i = static_cast<size_t>(k);
  Plane plane;
  plane.level = k;
  plane.side = levels[i - 1].map();
  plane.cell = config.init_patch_embed_size << (k - 1);
  const auto cells = static_cast<size_t>(plane.side) * plane.side;
  const auto width = static_cast<size_t>(levels[i].width);
  const Activation& v = gradients.levels[i].aggregated;
  NESTVIT_CHECK(v.values.size() == cells * width && v.gradient.size() == cells * width);
  for (size_t cell = 0; cell < cells; ++cell) {
    double sum = 0;
    for (size_t c = 0; c < width; ++c) {
      const double product = weighted(cell * width + c, c);
      sum += product;
      plane.magnitude += std::abs(product);
    }
    plane.values.push_back(sum);
  }
  return plane;
}

}  // namespace

CellMap token_map(const TokenScores& scores, const Level& level, int pixels_per_token) {
  Plane plane;
  plane.level = level.index;
  plane.side = level.map();
  plane.cell = pixels_per_token << level.index;
  for (int y = 0; y < plane.side; ++y)
    for (int x = 0; x < plane.side; ++x) {
      const auto at = static_cast<size_t>(token_at(level, y, x));
      plane.values.push_back(scores.values.at(at));
      plane.magnitude += scores.magnitudes.at(at);
    }
  return heat_map(plane, false);
}

CellMap leaf_map(const Tree& tree, const std::vector<Level>& levels, int pixels_per_token,
                 double magnitude) {
  const Level& leaves = levels.front();
  Plane plane;
  plane.side = leaves.grid;
  plane.cell = leaves.edge * pixels_per_token;
  plane.values.resize(static_cast<size_t>(leaves.blocks));
  plane.magnitude = magnitude * leaves.blocks;
  for (const TreeNode& node : tree.nodes)
    if (node.level == 0) plane.values[static_cast<size_t>(node.block)] = node.score;
  return heat_map(plane, false);
}

CellMap cam(const Activation& final_norm, std::span<const float> head,
            std::span<const float> target, const Level& top, int pixels_per_token) {
  const auto width = static_cast<size_t>(top.width), tokens = static_cast<size_t>(top.tokens);
  NESTVIT_CHECK(top.blocks == 1 && final_norm.values.size() == tokens * width &&
                head.size() == target.size() * width);
  std::vector<double> weights(width);
  for (size_t k = 0; k < target.size(); ++k)
    for (size_t c = 0; c < width; ++c)
      weights[c] += static_cast<double>(target[k]) * head[k * width + c];
  Plane plane;
  plane.level = top.index;
  plane.side = top.map();
  plane.cell = pixels_per_token << top.index;
  for (size_t n = 0; n < tokens; ++n) {
    double sum = 0;
    for (size_t c = 0; c < width; ++c) {
      const double share =
          weights[c] * final_norm.values[n * width + c] / static_cast<double>(tokens);
      sum += share;
      plane.magnitude += std::abs(share);
    }
    plane.values.push_back(sum);
  }
  return heat_map(plane, false);
}

CellMap relevance(const Gradients& gradients, const NestConfig& config, int k) {
  const Activation& v = gradients.levels.at(static_cast<size_t>(k)).aggregated;
  return heat_map(summed(gradients, config, k,
                         [&](size_t at, size_t) { return v.values[at] * v.gradient[at]; }),
                  false);
}

CellMap pixel_relevance(const Gradients& gradients, const NestConfig& config) {
  const Activation& pixels = gradients.pixels;
  Plane plane;
  plane.level = -1;
  plane.side = config.image_size;
  const auto cells = static_cast<size_t>(plane.side) * plane.side;
  const auto channels = static_cast<size_t>(config.in_channels);
  NESTVIT_CHECK(pixels.values.size() == cells * channels &&
                pixels.gradient.size() == cells * channels);
  plane.values.resize(cells);
  for (size_t i = 0; i < cells * channels; ++i) {
    const double product = pixels.values[i] * pixels.gradient[i];
    plane.values[i % cells] += product;
    plane.magnitude += std::abs(product);
  }
  return heat_map(plane, false);
}

CellMap layer_cam(const Gradients& gradients, const NestConfig& config, int k) {
  const Activation& v = gradients.levels.at(static_cast<size_t>(k)).aggregated;
  return heat_map(summed(gradients, config, k,
                         [&](size_t at, size_t) {
                           // A NaN stays one, so that it is found.
                           return v.values[at] * (v.gradient[at] < 0 ? 0.0f : v.gradient[at]);
                         }),
                  true);
}

CellMap grad_cam(const Gradients& gradients, const NestConfig& config, int k) {
  const Activation& v = gradients.levels.at(static_cast<size_t>(k)).aggregated;
  const auto width = static_cast<size_t>(geometry(config).at(static_cast<size_t>(k)).width);
  const size_t cells = v.gradient.size() / width;
  std::vector<double> mean(width);
  for (size_t i = 0; i < v.gradient.size(); ++i)
    mean[i % width] += v.gradient[i] / static_cast<double>(cells);
  return heat_map(
      summed(gradients, config, k, [&](size_t at, size_t c) { return v.values[at] * mean[c]; }),
      true);
}

}  // namespace nestvit

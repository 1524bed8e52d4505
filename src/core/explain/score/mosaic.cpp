// Choosing, building and scoring mosaics.
#include "explain/score/mosaic.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/random.h"

namespace nestvit {
namespace {

constexpr size_t kReach = 10;  // of the largest logits
constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

// How much of cell k of `cells` lies in part `part` of `parts`, both along one axis of length 1.
double overlap(int k, int cells, int part, int parts) {
  const double from = std::max(static_cast<double>(k) / cells, static_cast<double>(part) / parts);
  const double to =
      std::min(static_cast<double>(k + 1) / cells, static_cast<double>(part + 1) / parts);
  return std::max(to - from, 0.0) * cells;
}

}  // namespace

std::vector<std::vector<int64_t>> mosaic_picks(std::span<const int> labels, int edge, int count,
                                               uint64_t seed) {
  std::map<int, std::vector<int64_t>> by_class;
  for (size_t i = 0; i < labels.size(); ++i) by_class[labels[i]].push_back(static_cast<int64_t>(i));
  const size_t cells = static_cast<size_t>(edge) * edge;
  if (by_class.size() < cells)
    throw UsageError(fmt::format("a {0} x {0} mosaic needs {1} classes, and the images have {2}",
                                 edge, cells, by_class.size()),
                     edge > 2 ? "--mosaic 2 needs four" : "");
  std::vector<int> classes;
  for (const auto& [label, images] : by_class) classes.push_back(label);
  std::vector<std::vector<int64_t>> picks;
  for (int m = 0; m < count; ++m) {
    Rng rng(seed, Purpose::kMosaic, 0, static_cast<uint64_t>(m));
    std::vector<int64_t> pick;
    for (size_t k = 0; k < cells; ++k) {
      std::swap(classes[k], classes[k + rng.below(classes.size() - k)]);
      const std::vector<int64_t>& images = by_class.at(classes[k]);
      pick.push_back(images[rng.below(images.size())]);
    }
    picks.push_back(std::move(pick));
    std::sort(classes.begin(), classes.end());  // no mosaic depends on those before it
  }
  return picks;
}

std::vector<float> mosaic(const std::vector<std::vector<float>>& images, int channels, int size,
                          int edge) {
  NESTVIT_CHECK(edge > 0 && size % edge == 0 && std::ssize(images) == edge * edge);
  std::vector<float> result(static_cast<size_t>(channels) * size * size);
  const int small = size / edge;
  for (int cell = 0; cell < edge * edge; ++cell) {
    const std::vector<float>& image = images[cell];
    NESTVIT_CHECK(image.size() == result.size());
    for (int c = 0; c < channels; ++c)
      for (int y = 0; y < small; ++y)
        for (int x = 0; x < small; ++x) {
          double sum = 0;
          for (int dy = 0; dy < edge; ++dy)
            for (int dx = 0; dx < edge; ++dx)
              sum += image[(static_cast<size_t>(c) * size + y * edge + dy) * size + x * edge + dx];
          const size_t row = static_cast<size_t>(c) * size + cell / edge * small + y;
          result[row * size + cell % edge * small + x] = static_cast<float>(sum / (edge * edge));
        }
  }
  return result;
}

MosaicScore mosaic_score(const CellMap& map, std::span<const int> path, int edge, int cell) {
  NESTVIT_CHECK(map.values.size() == static_cast<size_t>(map.rows) * map.columns &&
                !map.values.empty());
  const int row = cell / edge, column = cell % edge;
  double inside = 0, all = 0;
  for (int y = 0; y < map.rows; ++y)
    for (int x = 0; x < map.columns; ++x) {
      const double value = std::max<double>(map.values[y * map.columns + x], 0);
      all += value;
      inside += value * overlap(y, map.rows, row, edge) * overlap(x, map.columns, column, edge);
    }
  MosaicScore score;
  score.mass = all > 0 ? inside / all : kUndefined;
  const auto best =
      static_cast<int>(std::max_element(map.values.begin(), map.values.end()) - map.values.begin());
  // By the middle of its cell: a map coarser than the mosaic points between the cells.
  score.argmax = (2 * (best / map.columns) + 1) * edge / (2 * map.rows) == row &&
                 (2 * (best % map.columns) + 1) * edge / (2 * map.columns) == column;
  int y = 0, x = 0, parts = 1;
  for (size_t step = 0; parts < edge; ++step, parts *= 2) {
    if (step == path.size()) {
      score.path = kUndefined;
      return score;
    }
    y = 2 * y + path[step] / 2;
    x = 2 * x + path[step] % 2;
  }
  score.path = y == row && x == column;
  return score;
}

bool within_reach(std::span<const float> logits, std::span<const int> classes) {
  return std::all_of(classes.begin(), classes.end(), [&](int k) {
    const auto larger =
        std::count_if(logits.begin(), logits.end(), [&](float logit) { return logit > logits[k]; });
    return static_cast<size_t>(larger) < kReach;
  });
}

}  // namespace nestvit

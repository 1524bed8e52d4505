// The three controls.
#include "explain/score/controls.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"

namespace nestvit {
namespace {

CellMap map_of(const Grid& grid, const std::vector<double>& values) {
  CellMap map;
  map.level = -1;
  map.rows = map.columns = grid.side;
  map.cell = grid.cell;
  map.is_signed = false;
  map.values.assign(values.begin(), values.end());
  for (const double value : values) map.sum += value;
  map.positive = map.sum;
  return map;
}

// The mean over channels [S, S].
std::vector<double> grey(std::span<const float> image, int channels) {
  std::vector<double> mean(image.size() / static_cast<size_t>(channels));
  for (size_t i = 0; i < image.size(); ++i)
    mean[i % mean.size()] += static_cast<double>(image[i]) / channels;
  return mean;
}

}  // namespace

CellMap random_map(const Grid& grid, uint64_t seed, uint64_t image) {
  const std::vector<int> order = tie_order(grid.cells(), seed, image);
  std::vector<double> values(order.size());
  for (size_t rank = 0; rank < order.size(); ++rank)
    values[order[rank]] =
        static_cast<double>(order.size() - rank) / static_cast<double>(order.size());
  return map_of(grid, values);
}

CellMap centre_map(const Grid& grid) {
  const double sigma = grid.size() / 4.0;
  std::vector<double> axis(static_cast<size_t>(grid.side));
  for (int x = 0; x < grid.size(); ++x) {
    const double distance = (x + 0.5 - grid.size() / 2.0) / sigma;
    axis[x / grid.cell] += std::exp(-distance * distance / 2);
  }
  std::vector<double> values;
  for (const double y : axis)
    for (const double x : axis) values.push_back(y * x);
  return map_of(grid, values);
}

CellMap edge_map(const Grid& grid, std::span<const float> image, int channels) {
  const int size = grid.size();
  NESTVIT_CHECK(image.size() == static_cast<size_t>(channels) * size * size);
  const std::vector<double> pixels = grey(image, channels);
  const auto at = [&](int y, int x) {
    return pixels[static_cast<size_t>(std::clamp(y, 0, size - 1)) * size +
                  std::clamp(x, 0, size - 1)];
  };
  std::vector<double> values(static_cast<size_t>(grid.cells()));
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const double right = at(y - 1, x + 1) + 2 * at(y, x + 1) + at(y + 1, x + 1);
      const double left = at(y - 1, x - 1) + 2 * at(y, x - 1) + at(y + 1, x - 1);
      const double below = at(y + 1, x - 1) + 2 * at(y + 1, x) + at(y + 1, x + 1);
      const double above = at(y - 1, x - 1) + 2 * at(y - 1, x) + at(y - 1, x + 1);
      values[y / grid.cell * grid.side + x / grid.cell] += std::hypot(right - left, below - above);
    }
  return map_of(grid, values);
}

}  // namespace nestvit

// Rank correlation and windowed similarity.
#include "metrics/similarity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/check.h"

namespace nestvit {
namespace {

// Ranks from 0; equal values share their mean.
std::vector<double> ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> result(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t k = begin; k < end; ++k)
      result[order[k]] = static_cast<double>(begin + end - 1) / 2;
  }
  return result;
}

// Sums of a window of both pictures.
struct Moments {
  double a = 0, b = 0, aa = 0, bb = 0, ab = 0;
};

Moments moments(std::span<const double> a, std::span<const double> b, int side, int y, int x,
                int window) {
  Moments sums;
  for (int dy = 0; dy < window; ++dy)
    for (int dx = 0; dx < window; ++dx) {
      const auto i = static_cast<size_t>(y + dy) * side + (x + dx);
      sums.a += a[i];
      sums.b += b[i];
      sums.aa += a[i] * a[i];
      sums.bb += b[i] * b[i];
      sums.ab += a[i] * b[i];
    }
  return sums;
}

}  // namespace

double spearman(std::span<const double> a, std::span<const double> b) {
  NESTVIT_CHECK(a.size() == b.size());
  const std::vector<double> x = ranks(a), y = ranks(b);
  const double middle = (static_cast<double>(a.size()) - 1) / 2;  // the mean of all ranks
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - middle) * (x[i] - middle);
    yy += (y[i] - middle) * (y[i] - middle);
    xy += (x[i] - middle) * (y[i] - middle);
  }
  if (xx == 0 || yy == 0) return std::numeric_limits<double>::quiet_NaN();
  return xy / std::sqrt(xx * yy);
}

double structural_similarity(std::span<const double> a, std::span<const double> b, int side) {
  NESTVIT_CHECK(side > 0 && a.size() == b.size() && a.size() == static_cast<size_t>(side) * side);
  const auto [low_a, high_a] = std::minmax_element(a.begin(), a.end());
  const auto [low_b, high_b] = std::minmax_element(b.begin(), b.end());
  const double range = std::max(*high_a, *high_b) - std::min(*low_a, *low_b);
  if (range == 0) return 1;
  const int window = side >= 7 ? 7 : side - (side + 1) % 2;
  const double count = window * window, c1 = 0.01 * range * 0.01 * range,
               c2 = 0.03 * range * 0.03 * range;
  const double sample = count > 1 ? count / (count - 1) : 1;
  double total = 0;
  const int places = side - window + 1;
  for (int y = 0; y < places; ++y)
    for (int x = 0; x < places; ++x) {
      const Moments m = moments(a, b, side, y, x, window);
      const double ma = m.a / count, mb = m.b / count;
      const double va = sample * (m.aa / count - ma * ma), vb = sample * (m.bb / count - mb * mb);
      const double vab = sample * (m.ab / count - ma * mb);
      total += (2 * ma * mb + c1) * (2 * vab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
    }
  return total / (static_cast<double>(places) * places);
}

}  // namespace nestvit

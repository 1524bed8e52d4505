// Comparisons of rows of numbers that say where and by how much they differ. near_tensors.h has
// them for torch's tensors.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

namespace nestvit::testing {

// The largest |a[i] - b[i]|; infinite where one of them is not a number, or the lengths differ.
template <class A, class B>
double largest_difference(const A& a, const B& b) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  EXPECT_EQ(std::size(a), std::size(b));
  if (std::size(a) != std::size(b)) return kInfinite;
  double most = 0;
  for (size_t i = 0; i < std::size(a); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (std::isnan(difference)) return kInfinite;
    most = std::max(most, difference);
  }
  return most;
}

// |got - want| <= tolerance * (largest |want|), entry by entry; `floor` is always allowed. Values
// that are not finite fail.
template <class Got, class Want>
void expect_near(const Got& got, const Want& want, double tolerance, const std::string& what,
                 double floor = 0) {
  ASSERT_EQ(std::size(got), std::size(want)) << what;
  double scale = 0, worst = 0;
  size_t place = 0;
  for (size_t i = 0; i < std::size(want); ++i) {
    const auto x = static_cast<double>(got[i]), y = static_cast<double>(want[i]);
    ASSERT_TRUE(std::isfinite(x) && std::isfinite(y)) << what << " at " << i;
    scale = std::max(scale, std::abs(y));
    if (std::abs(x - y) > worst) {
      worst = std::abs(x - y);
      place = i;
    }
  }
  ASSERT_GT(scale, 0) << what << ": an all-zero reference shows nothing";
  EXPECT_LE(worst, std::max(tolerance * scale, floor))
      << what << " at " << place << ": differs by " << worst / scale
      << " of the largest entry, allowed " << tolerance;
}

}  // namespace nestvit::testing

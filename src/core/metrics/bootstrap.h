// How sure a mean over images is: percentile bootstrap intervals (Efron & Tibshirani 1993, 13.3),
// alone and of the paired difference of two rows over the same images. A pure function of the
// values and the seed.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

namespace nestvit {

struct BootstrapOptions {
  int resamples = 10000;
  uint64_t seed = 42;
  double level = 0.95;
};

struct Interval {
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
  // Whether `value` lies in it, or it is unknown: no claim against `value` can be made.
  bool meets(double value) const { return !(value < low || value > high); }
};

// Of what is finite among the values; NaN where nothing is.
struct Estimate {
  int64_t count = 0;
  double mean = std::numeric_limits<double>::quiet_NaN();
  double median = std::numeric_limits<double>::quiet_NaN();
  Interval interval;  // of the mean
};
Estimate estimated(std::span<const double> values, const BootstrapOptions& options = {});

// Of a[i] - b[i] over the i where both are finite. a and b have one size.
Estimate estimated_difference(std::span<const double> a, std::span<const double> b,
                              const BootstrapOptions& options = {});

// Of several columns over the same things, from the same resamples: the same as one by one, in a
// fraction of the time.
std::vector<Estimate> estimated_columns(const std::vector<std::vector<double>>& columns,
                                        const BootstrapOptions& options = {});

// Of any statistic of `count` things: it gets `count` of their numbers, drawn with replacement.
// Resamples whose statistic is not finite are left out.
Interval bootstrap_interval(int64_t count,
                            const std::function<double(std::span<const int64_t>)>& statistic,
                            const BootstrapOptions& options = {});

// The p-quantile of ascending values, linear between neighbours; NaN of none.
double quantile(std::span<const double> ascending, double p);

}  // namespace nestvit

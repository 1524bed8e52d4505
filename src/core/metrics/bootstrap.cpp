// Resamples, each from random numbers of its own.
#include "metrics/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/random.h"

namespace nestvit {
namespace {

// Calls visit(drawn) for each resample of `count` things.
template <class Visit>
void each_resample(int64_t count, const BootstrapOptions& options, Visit&& visit) {
  std::vector<int64_t> drawn(static_cast<size_t>(count));
  for (int r = 0; r < options.resamples; ++r) {
    Rng rng(options.seed, Purpose::kBootstrap, 0, static_cast<uint64_t>(r));
    for (int64_t& index : drawn)
      index = static_cast<int64_t>(rng.below(static_cast<uint64_t>(count)));
    visit(std::span<const int64_t>(drawn));
  }
}

Interval interval_of(std::vector<double> results, double level) {
  std::sort(results.begin(), results.end());
  const double tail = (1 - level) / 2;
  return {quantile(results, tail), quantile(results, 1 - tail)};
}

// Mean and median of what is finite.
Estimate described(const std::vector<double>& column) {
  std::vector<double> known;
  std::copy_if(column.begin(), column.end(), std::back_inserter(known),
               [](double value) { return std::isfinite(value); });
  Estimate estimate;
  estimate.count = std::ssize(known);
  if (known.empty()) return estimate;
  double sum = 0;
  for (const double value : known) sum += value;
  estimate.mean = sum / static_cast<double>(known.size());
  std::sort(known.begin(), known.end());
  estimate.median = quantile(known, 0.5);
  return estimate;
}

// Columns as rows [thing][column], so that a thing that was drawn is added in one sweep.
struct Rows {
  explicit Rows(const std::vector<std::vector<double>>& columns) : width(columns.size()) {
    for (size_t i = 0; i < columns.front().size(); ++i)
      for (const std::vector<double>& column : columns) {
        const bool is_defined = std::isfinite(column.at(i));
        values.push_back(is_defined ? column[i] : 0);
        defined.push_back(is_defined ? 1 : 0);
      }
  }
  size_t width;
  std::vector<double> values, defined;
};

}  // namespace

double quantile(std::span<const double> ascending, double p) {
  if (ascending.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double at = std::clamp(p, 0.0, 1.0) * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, ascending.size() - 1);
  const double share = at - static_cast<double>(below);
  return ascending[below] + share * (ascending[above] - ascending[below]);
}

Interval bootstrap_interval(int64_t count,
                            const std::function<double(std::span<const int64_t>)>& statistic,
                            const BootstrapOptions& options) {
  std::vector<double> results;
  if (count > 0)
    each_resample(count, options, [&](std::span<const int64_t> drawn) {
      if (const double result = statistic(drawn); std::isfinite(result)) results.push_back(result);
    });
  return interval_of(std::move(results), options.level);
}

std::vector<Estimate> estimated_columns(const std::vector<std::vector<double>>& columns,
                                        const BootstrapOptions& options) {
  std::vector<Estimate> estimates;
  for (const std::vector<double>& column : columns) {
    NESTVIT_CHECK(column.size() == columns.front().size());
    estimates.push_back(described(column));
  }
  if (columns.empty() || columns.front().empty()) return estimates;
  const Rows rows(columns);
  std::vector<std::vector<double>> means(columns.size());
  std::vector<double> sums(rows.width), counts(rows.width);
  each_resample(std::ssize(columns.front()), options, [&](std::span<const int64_t> drawn) {
    std::fill(sums.begin(), sums.end(), 0);
    std::fill(counts.begin(), counts.end(), 0);
    for (const int64_t index : drawn) {
      const double* values = rows.values.data() + static_cast<size_t>(index) * rows.width;
      const double* defined = rows.defined.data() + static_cast<size_t>(index) * rows.width;
      for (size_t c = 0; c < rows.width; ++c) {
        sums[c] += values[c];
        counts[c] += defined[c];
      }
    }
    for (size_t c = 0; c < rows.width; ++c)
      if (counts[c] > 0) means[c].push_back(sums[c] / counts[c]);
  });
  for (size_t c = 0; c < columns.size(); ++c)
    estimates[c].interval = interval_of(std::move(means[c]), options.level);
  return estimates;
}

Estimate estimated(std::span<const double> values, const BootstrapOptions& options) {
  return estimated_columns({std::vector<double>(values.begin(), values.end())}, options).front();
}

Estimate estimated_difference(std::span<const double> a, std::span<const double> b,
                              const BootstrapOptions& options) {
  NESTVIT_CHECK(a.size() == b.size());
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  return estimated(differences, options);
}

}  // namespace nestvit

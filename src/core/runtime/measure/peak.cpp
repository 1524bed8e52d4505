// Times one product that fits a core's cache.
#include "runtime/measure/peak.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "runtime/compute_thread.h"
#include "runtime/packed/linear.h"

namespace nestvit {
namespace {

constexpr int64_t kRows = 192, kWidth = 384, kColumns = 192;
constexpr int kRepeats = 40, kTrials = 10;

}  // namespace

double product_peak(int threads, NumberType precision) {
  check_processor(precision);
  ComputeThread compute(threads);
  double best = 0;
  compute.run([&] {
    const Linear linear(std::vector<float>(kColumns * kWidth, 0.5f), {}, kColumns, precision);
    for (int trial = 0; trial < kTrials; ++trial) {
      const auto start = std::chrono::steady_clock::now();
#pragma omp parallel
      {
        const std::vector<float> x(kRows * kWidth, 0.25f);
        std::vector<float> rounded(kRows * kWidth), y(kRows * kColumns);
        const float* rows = linear.prepare_rows(x.data(), kRows, rounded.data());
        for (int i = 0; i < kRepeats; ++i)
          linear({.x = rows, .m = kRows, .y = y.data(), .ldy = kColumns});
      }
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      const double products = 2e-9 * kRows * kWidth * kColumns * kRepeats * compute.threads();
      best = std::max(best, products / took.count());
    }
  });
  return best;
}

}  // namespace nestvit

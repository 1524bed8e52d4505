// How long the processes of a run take to add up: by a launcher, as nestvit-train itself.
//   mpirun -np 2 build/release/bin/exchange_bench         (or torchrun --no-python ...)
// Rank 0 prints a line per size; every sum is checked.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "train/group/group.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Timed {
  double median, fastest;
};

// Of one sum of `count` doubles over all processes.
Timed time_sum(const nestvit::train::Group& group, size_t count) {
  std::vector<double> values(count), times;
  const double expected = 0.5 * group.world_size() * (group.world_size() - 1);
  const auto rounds = std::clamp<size_t>((size_t{1} << 27) / (8 * count), 5, 200);
  for (size_t round = 0; round < rounds + 2; ++round) {
    std::fill(values.begin(), values.end(), group.rank());
    group.all_reduce_max(0);  // all begin together
    const auto start = Clock::now();
    group.all_reduce_sum(values);
    if (round >= 2) times.push_back(seconds_since(start));
    if (values.front() != expected || values.back() != expected)
      throw nestvit::Error(fmt::format("the sum is {}, not {}", values.front(), expected));
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front()};
}

int run() {
  nestvit::train::Group group(nestvit::read_launch());
  if (group.is_root()) fmt::print("processes,bytes,median_us,fastest_us,MB_per_s\n");
  for (size_t bytes = 8; bytes <= size_t{64} << 20; bytes *= 8) {
    const Timed timed = time_sum(group, bytes / 8);
    if (group.is_root())
      fmt::print("{},{},{:.1f},{:.1f},{:.0f}\n", group.world_size(), bytes, 1e6 * timed.median,
                 1e6 * timed.fastest, 1e-6 * static_cast<double>(bytes) / timed.median);
  }
  group.finish();
  return 0;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception& e) {
    fmt::print(stderr, "exchange_bench: {}\n", e.what());
    return 1;
  }
}

// How many processors this process may use, and how many threads it should start.
#pragma once

#include <filesystem>

namespace nestvit {

// The processors that the cgroup's CPU quota allows, rounded up; 0 without a quota. `root` holds
// /proc and /sys/fs/cgroup, of either cgroup version; tests pass their own.
int cgroup_processors(const std::filesystem::path& root = "/");

// The smaller of the affinity mask and the cgroup quota, at least 1.
int available_processors();

// `requested` when it is above 0; else OMP_NUM_THREADS when it is set; else the available
// processors, divided among the `processes` that share them. At least 1. Throws UsageError for a
// negative or absurd `requested`.
int thread_count(int requested, int processes = 1);

}  // namespace nestvit

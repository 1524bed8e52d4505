// Affinity, cgroup quota and OMP_NUM_THREADS.
#include "base/system/processors.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include "base/system/environment.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr int kMostThreads = 1024;

std::optional<long long> parse_number(const std::string& text) {
  long long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::string first_word(const fs::path& file, std::string* second = nullptr) {
  std::ifstream stream(file);
  std::string word, next;
  stream >> word >> next;
  if (second) *second = next;
  return word;
}

int processors(const std::string& quota_us, const std::string& period_us) {
  const auto quota = parse_number(quota_us), period = parse_number(period_us);
  if (!quota || !period || *quota <= 0 || *period <= 0) return 0;  // "max", -1, or no such file
  return static_cast<int>(std::min<long long>(kMostThreads, (*quota + *period - 1) / *period));
}

// The folders from `mount` + `group` up to `mount`: a quota of any of them holds.
template <class Quota>
int smallest_quota(const fs::path& mount, const std::string& group, Quota quota) {
  int smallest = 0;
  for (fs::path at = fs::path(group).relative_path();; at = at.parent_path()) {
    const int here = quota(mount / at);
    if (here > 0 && (smallest == 0 || here < smallest)) smallest = here;
    if (at.empty()) return smallest;
  }
}

int affinity_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // Fails where the machine has more processors than the fixed set holds: then all of them count.
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

int cgroup_processors(const fs::path& root) {
  std::ifstream membership(root / "proc/self/cgroup");
  int smallest = 0;
  for (std::string line;
       std::getline(membership, line);) {  // "4:cpu,cpuacct:/group" or, version 2, "0::/group"
    std::istringstream parts(line);
    std::string number, controllers, group;
    std::getline(parts, number, ':');
    std::getline(parts, controllers, ':');
    std::getline(parts, group);
    int here = 0;
    if (controllers.empty()) {
      here = smallest_quota(root / "sys/fs/cgroup", group, [](const fs::path& folder) {
        std::string period;
        const std::string quota = first_word(folder / "cpu.max", &period);
        return processors(quota, period);
      });
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      here = smallest_quota(root / "sys/fs/cgroup/cpu", group, [](const fs::path& folder) {
        return processors(first_word(folder / "cpu.cfs_quota_us"),
                          first_word(folder / "cpu.cfs_period_us"));
      });
    }
    if (here > 0 && (smallest == 0 || here < smallest)) smallest = here;
  }
  return smallest;
}

int available_processors() {
  const int allowed = std::min(affinity_processors(), kMostThreads), quota = cgroup_processors();
  return quota > 0 ? std::min(allowed, quota) : allowed;
}

int thread_count(int requested, int processes) {
  if (requested < 0 || requested > kMostThreads)
    throw UsageError(
        fmt::format("cannot compute with {} threads", requested),
        fmt::format("give a number from 1 to {}, or 0 for as many as this process may use",
                    kMostThreads));
  if (requested > 0) return requested;
  // A list is for nested regions; its first number is ours.
  if (const auto set = environment_variable("OMP_NUM_THREADS"))
    if (const auto value = parse_number(*set); value && *value > 0)
      return static_cast<int>(std::min<long long>(*value, kMostThreads));
  return std::max(1, available_processors() / std::max(1, processes));
}

}  // namespace nestvit

// Counts the processors that this process may use and runs the compute thread.
#include "runtime/compute_thread.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/environment.h"
#include "kernels/portable.h"

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

// How many forks lie between the first process and this one.
std::atomic<unsigned> forks = 0;
[[maybe_unused]] const int counts_forks = pthread_atfork(nullptr, nullptr, [] { ++forks; });

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

int thread_count(int requested) {
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
  const int available = std::min(affinity_processors(), kMostThreads), quota = cgroup_processors();
  return quota > 0 ? std::min(available, quota) : available;
}

// The thread, and the locks between it and its callers.
class ComputeThread::Leader {
 public:
  explicit Leader(int threads) : threads_(threads), thread_([this] { loop(); }) {}
  ~Leader() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Leader(const Leader&) = delete;
  Leader& operator=(const Leader&) = delete;

  // Whether the thread is of this process, and not of one that it was forked from.
  bool is_here() const { return forks_ == forks; }

  void run(const std::function<void()>& work) {
    const std::lock_guard turn(callers_);
    std::unique_lock lock(mutex_);
    work_ = &work;
    changed_.notify_all();
    changed_.wait(lock, [this] { return work_ == nullptr; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void loop() {
    omp_set_dynamic(0);
    omp_set_num_threads(threads_);
    kernels::flush_denormals();  // before the team starts: its threads inherit the mode
#pragma omp parallel
    kernels::flush_denormals();

    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stop_ || work_ != nullptr; });
      if (stop_) return;
      const auto* work = work_;
      lock.unlock();
      std::exception_ptr error;
      try {
        (*work)();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      error_ = error;
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  const int threads_;
  const unsigned forks_ = forks;
  std::mutex callers_;  // held by the one caller whose work runs
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* work_ = nullptr;  // not null: to be done
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;  // last: it reads the members above
};

ComputeThread::ComputeThread(int threads)
    : threads_(std::clamp(threads, 1, std::max(1, omp_get_thread_limit()))),
      leader_(new Leader(threads_)) {}

ComputeThread::~ComputeThread() {
  if (Leader* last = leader_; last->is_here()) delete last;
}

// In a child the parent's leader is left as it is: its locks may be held for ever, and a condition
// variable on which a lost thread waits cannot be destroyed.
ComputeThread::Leader& ComputeThread::leader() {
  Leader* current = leader_;
  if (current->is_here()) return *current;
  auto fresh = std::make_unique<Leader>(threads_);
  // Another thread of the child may have been faster; then its leader is in `current`.
  if (leader_.compare_exchange_strong(current, fresh.get())) return *fresh.release();
  return *current;
}

void ComputeThread::run(const std::function<void()>& work) { leader().run(work); }

}  // namespace nestvit

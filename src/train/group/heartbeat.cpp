// One thread per process; the store holds who/RANK, heartbeat/RANK and the failure.
#include "train/group/heartbeat.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <vector>

namespace nestvit::train {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kFailure = "failure";
constexpr milliseconds kLongestInterval{1000};
constexpr std::chrono::seconds kGrace{5};  // for the run to find the failure itself
constexpr std::chrono::seconds kLongGrace{20}, kNone{0};

std::string heartbeat_key(int rank) { return fmt::format("heartbeat/{}", rank); }

}  // namespace

Heartbeat::Heartbeat(c10::intrusive_ptr<c10d::Store> store, int rank, int world_size,
                     const GroupOptions& options, std::string rendezvous)
    : store_(std::move(store)),
      rank_(rank),
      world_size_(world_size),
      options_(options),
      rendezvous_(std::move(rendezvous)),
      interval_(
          std::min<milliseconds>(kLongestInterval, milliseconds(options.heartbeat_timeout) / 8)),
      next_moved_(Clock::now()) {
  write_counters();
  thread_ = std::thread([this] { run(); });
  watcher_ = std::thread([this] { watch_run(); });
}

void Heartbeat::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread* thread : {&thread_, &watcher_})
    if (thread->joinable()) thread->join();
}

// False when stop() came meanwhile.
bool Heartbeat::pause(milliseconds time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [this] { return stop_; });
}

void Heartbeat::run() {
  for (; pause(interval_); ++rounds_) {
    std::optional<std::string> failure;
    try {
      write_counters();
      failure = read_failure();
      if (!failure) check_next_rank();
    } catch (const std::exception&) {
      failure = store_unreachable();
    }
    if (failure) return exit_if_stuck(*failure);
  }
}

// Counts its own rounds instead of reading the clock, since this process may have been suspended.
void Heartbeat::watch_run() {
  int64_t seen = -1;
  milliseconds quiet{0};
  while (pause(interval_)) {
    {
      const std::lock_guard lock(mutex_);
      if (failure_found_) return;
    }
    const int64_t rounds = rounds_;
    quiet = rounds == seen ? quiet + interval_ : milliseconds(0);
    seen = rounds;
    if (quiet > options_.heartbeat_timeout) exit_now(store_unreachable());
  }
}

void Heartbeat::write_counters() {
  store_->set(heartbeat_key(rank_), fmt::format("{} {}", ++beats_, exchanges_));
}

Heartbeat::Counters Heartbeat::read_counters(int rank) {
  Counters counters;
  if (store_->check({heartbeat_key(rank)})) {
    const std::string text = store_->get_to_str(heartbeat_key(rank));
    std::sscanf(text.c_str(), "%ld %ld", &counters.beats, &counters.exchanges);
  }
  return counters;
}

void Heartbeat::check_next_rank() {
  const int next = (rank_ + 1) % world_size_;
  const Counters counters = read_counters(next);
  const auto now = Clock::now();
  if (counters.beats != next_.beats) {
    next_ = counters;
    next_moved_ = now;
  } else if (now - next_moved_ > options_.heartbeat_timeout) {
    report_failure(fmt::format("no heartbeat from {} for {} s: its machine or the network is down",
                               name_of(next), options_.heartbeat_timeout.count()));
  }
}

std::optional<std::string> Heartbeat::read_failure() {
  if (!store_->check({kFailure})) return std::nullopt;
  return store_->get_to_str(kFailure);
}

std::string Heartbeat::report_failure(const std::string& failure) {
  return store_->compareSet(kFailure, "", failure);
}

std::string Heartbeat::name_of(int rank) {
  const std::string who = fmt::format("who/{}", rank);
  return fmt::format("rank {} ({})", rank,
                     store_->check({who}) ? store_->get_to_str(who) : "never connected");
}

std::string Heartbeat::store_unreachable() const {
  return fmt::format("cannot reach {}, where the processes meet (rank 0 or the launcher)",
                     rendezvous_);
}

// The run may wait inside libtorch for a process that does not answer, and nothing wakes it there.
// When it has found the failure itself, the group's destructor may wait there, too.
void Heartbeat::exit_if_stuck(const std::string& failure) {
  {
    std::unique_lock lock(mutex_);
    failure_found_ = true;
    changed_.wait_for(lock, kGrace, [this] { return stop_ || run_knows_; });
    if (changed_.wait_for(lock, run_knows_ ? kLongGrace : kNone, [this] { return stop_; })) return;
  }
  exit_now(failure);
}

void Heartbeat::exit_now(const std::string& failure) const {
  fmt::print(stderr, "error: rank {} exits: {}\n", rank_, failure);
  std::fflush(stderr);
  ::_exit(1);
}

std::string Heartbeat::find_failed_rank(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    run_knows_ = true;
  }
  changed_.notify_all();
  try {
    if (const auto known = read_failure()) return *known;
    return failed_rank(reason);
  } catch (const std::exception&) {
    return store_unreachable();
  }
}

// A rank whose heartbeat stands still has ended. If none has, the rank with the fewest exchanges is
// the one that the others waited for.
std::string Heartbeat::failed_rank(const std::string& reason) {
  std::vector<Counters> before, after;
  for (int rank = 0; rank < world_size_; ++rank) before.push_back(read_counters(rank));
  std::this_thread::sleep_for(3 * interval_);
  if (const auto known = read_failure()) return *known;
  int64_t most = 0, fewest = std::numeric_limits<int64_t>::max();
  std::vector<std::string> ended, behind;
  for (int rank = 0; rank < world_size_; ++rank) {
    after.push_back(read_counters(rank));
    if (rank != rank_ && after.back().beats == before[static_cast<size_t>(rank)].beats)
      ended.push_back(name_of(rank));
    most = std::max(most, after.back().exchanges);
    fewest = std::min(fewest, after.back().exchanges);
  }
  if (!ended.empty())
    return report_failure(fmt::format("{} ended unexpectedly (killed, or the machine is down)",
                                      fmt::join(ended, ", ")));
  for (int rank = 0; rank < world_size_ && fewest < most; ++rank)
    if (after[static_cast<size_t>(rank)].exchanges == fewest) behind.push_back(name_of(rank));
  if (!behind.empty())
    return report_failure(fmt::format(
        "{} did not join exchange {} within {} s although it is alive: too slow or stuck",
        fmt::join(behind, ", "), most, options_.timeout.count()));
  return report_failure(fmt::format("an exchange between the processes failed: {}", reason));
}

}  // namespace nestvit::train

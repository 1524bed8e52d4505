// One thread per process; the store holds who/RANK, sign/RANK and the verdict.
#include "train/group/heartbeat.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

namespace nestvit::train {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kVerdict = "verdict";
constexpr milliseconds kMostBetweenSigns{1000};
constexpr std::chrono::seconds kGrace{5};  // for a run to notice by itself
constexpr std::chrono::seconds kLongGrace{20}, kNone{0};

std::string sign_key(int rank) { return fmt::format("sign/{}", rank); }

}  // namespace

Watch::Watch(c10::intrusive_ptr<c10d::Store> store, int rank, int size, const GroupOptions& options,
             std::string meeting_point)
    : store_(std::move(store)),
      rank_(rank),
      size_(size),
      options_(options),
      meeting_point_(std::move(meeting_point)),
      interval_(
          std::min<milliseconds>(kMostBetweenSigns, milliseconds(options.heartbeat_timeout) / 8)),
      next_moved_(Clock::now()) {
  beat();
  thread_ = std::thread([this] { run(); });
  guard_ = std::thread([this] { guard(); });
}

void Watch::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_all();
  for (std::thread* thread : {&thread_, &guard_})
    if (thread->joinable()) thread->join();
}

// False when stop() came meanwhile.
bool Watch::pause(milliseconds time) {
  std::unique_lock lock(mutex_);
  return !stopping_.wait_for(lock, time, [this] { return stop_; });
}

// Counts its own rounds instead of time: a process that was stopped for a while is no reason.
void Watch::guard() {
  int64_t seen = -1;
  milliseconds quiet{0};
  while (pause(interval_)) {
    {
      const std::lock_guard lock(mutex_);
      if (judged_) return;
    }
    const int64_t looks = looks_;
    quiet = looks == seen ? quiet + interval_ : milliseconds(0);
    seen = looks;
    if (quiet > options_.heartbeat_timeout) end(gone());
  }
}

void Watch::run() {
  for (; pause(interval_); ++looks_) {
    std::optional<std::string> end;
    try {
      beat();
      end = verdict();
      if (!end) look_at_next();
    } catch (const std::exception&) {
      end = gone();
    }
    if (end) return end_if_stuck(*end);
  }
}

void Watch::beat() { store_->set(sign_key(rank_), fmt::format("{} {}", ++beats_, exchanges_)); }

void Watch::look_at_next() {
  const int next = (rank_ + 1) % size_;
  const Sign sign = sign_of(next);
  const auto now = Clock::now();
  if (sign.beats != next_.beats) {
    next_ = sign;
    next_moved_ = now;
  } else if (now - next_moved_ > options_.heartbeat_timeout) {
    judge(fmt::format("{} gave no sign of life for {} s: its machine or the network is down",
                      named(next), options_.heartbeat_timeout.count()));
  }
}

Watch::Sign Watch::sign_of(int rank) {
  Sign sign;
  if (store_->check({sign_key(rank)})) {
    const std::string text = store_->get_to_str(sign_key(rank));
    std::sscanf(text.c_str(), "%ld %ld", &sign.beats, &sign.exchanges);
  }
  return sign;
}

std::optional<std::string> Watch::verdict() {
  if (!store_->check({kVerdict})) return std::nullopt;
  return store_->get_to_str(kVerdict);
}

std::string Watch::judge(const std::string& verdict) {
  return store_->compareSet(kVerdict, "", verdict);
}

std::string Watch::named(int rank) {
  const std::string who = fmt::format("who/{}", rank);
  return fmt::format("rank {} ({})", rank,
                     store_->check({who}) ? store_->get_to_str(who) : "never seen");
}

std::string Watch::gone() const {
  return fmt::format("the process at {} where all meet (rank 0, or the launcher) is out of reach",
                     meeting_point_);
}

// The run may wait inside libtorch for somebody who will not come, and nothing wakes it there; once
// it has noticed, the group's end may wait there, too.
void Watch::end_if_stuck(const std::string& verdict) {
  {
    std::unique_lock lock(mutex_);
    judged_ = true;
    stopping_.wait_for(lock, kGrace, [this] { return stop_ || noticed_; });
    if (stopping_.wait_for(lock, noticed_ ? kLongGrace : kNone, [this] { return stop_; })) return;
  }
  end(verdict);
}

void Watch::end(const std::string& verdict) const {
  fmt::print(stderr, "error: rank {} ends: {}\n", rank_, verdict);
  std::fflush(stderr);
  ::_exit(1);
}

std::string Watch::blame(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    noticed_ = true;
  }
  stopping_.notify_all();
  try {
    if (const auto known = verdict()) return *known;
    return find_culprit(reason);
  } catch (const std::exception&) {
    return gone();
  }
}

// Signs that do not move while others' do are of a process that has ended; else the one that made
// fewer exchanges than the others is the one they waited for.
std::string Watch::find_culprit(const std::string& reason) {
  std::vector<Sign> before, after;
  for (int rank = 0; rank < size_; ++rank) before.push_back(sign_of(rank));
  std::this_thread::sleep_for(3 * interval_);
  if (const auto known = verdict()) return *known;
  int64_t most = 0, fewest = std::numeric_limits<int64_t>::max();
  std::vector<std::string> ended, behind;
  for (int rank = 0; rank < size_; ++rank) {
    after.push_back(sign_of(rank));
    if (rank != rank_ && after.back().beats == before[static_cast<size_t>(rank)].beats)
      ended.push_back(named(rank));
    most = std::max(most, after.back().exchanges);
    fewest = std::min(fewest, after.back().exchanges);
  }
  if (!ended.empty())
    return judge(fmt::format("{} {} ended without a word (killed, or its machine is down)",
                             fmt::join(ended, ", "), ended.size() == 1 ? "has" : "have"));
  for (int rank = 0; rank < size_ && fewest < most; ++rank)
    if (after[static_cast<size_t>(rank)].exchanges == fewest) behind.push_back(named(rank));
  if (!behind.empty())
    return judge(
        fmt::format("{} lives, but did not come to exchange {} within {} s: too slow, or "
                    "stuck",
                    fmt::join(behind, ", "), most, options_.timeout.count()));
  return judge(fmt::format("an exchange between the processes failed: {}", reason));
}

}  // namespace nestvit::train

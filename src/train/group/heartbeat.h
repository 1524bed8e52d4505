// The heartbeats of a group's processes, and which rank failed when an exchange breaks.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "train/group/c10d.h"
#include "train/group/group.h"

namespace nestvit::train {

// A thread that writes this process's heartbeat, a counter, to the store every second. It watches
// the next rank's heartbeat and the job's failure: the first reason that any process reported for
// the end of the job. One read and one write a second for each process, however many there are. A
// second thread watches the first, since the store's library waits for an answer as long as TCP
// does.
class Heartbeat {
 public:
  // `store`: a connection of the heartbeat's own; it must outlive the heartbeat.
  Heartbeat(c10::intrusive_ptr<c10d::Store> store, int rank, int world_size,
            const GroupOptions& options, std::string rendezvous);
  ~Heartbeat() { stop(); }

  void stop();
  // At the beginning of an exchange: the rank with the lowest count is the one the others wait for.
  void count_exchange() { ++exchanges_; }

  // After an exchange failed with `reason`: the job's failure, which names the rank that failed.
  // Takes a few seconds.
  std::string find_failed_rank(const std::string& reason);
  // Reports `failure` unless the job has one already. Returns the job's failure.
  std::string report_failure(const std::string& failure);
  // "rank 3 (node7, process 4242)"
  std::string name_of(int rank);

 private:
  struct Counters {
    int64_t beats = 0, exchanges = 0;
  };

  void run();
  void watch_run();
  void write_counters();
  Counters read_counters(int rank);
  void check_next_rank();
  std::optional<std::string> read_failure();
  std::string failed_rank(const std::string& reason);
  std::string store_unreachable() const;
  void exit_if_stuck(const std::string& failure);
  [[noreturn]] void exit_now(const std::string& failure) const;
  bool pause(std::chrono::milliseconds time);

  c10::intrusive_ptr<c10d::Store> store_;
  int rank_, world_size_;
  GroupOptions options_;
  std::string rendezvous_;
  std::atomic<int64_t> exchanges_{0};
  std::atomic<int64_t> rounds_{0};      // of the thread that talks to the store
  std::chrono::milliseconds interval_;  // between heartbeats
  int64_t beats_ = 0;
  Counters next_;  // of the next rank
  std::chrono::steady_clock::time_point next_moved_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  bool run_knows_ = false;      // the training run found the failure itself: it ends by an Error
  bool failure_found_ = false;  // by the first thread
  std::thread thread_, watcher_;
};

}  // namespace nestvit::train

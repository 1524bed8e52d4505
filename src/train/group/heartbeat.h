// Signs of life of the processes of a group, and who is to blame when an exchange breaks.
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

// A thread that leaves a sign of life in the store every second, looks at the next process's, and
// at the verdict: the first reason that anybody gave for the end of the job. One read and one write
// a second for each process, however many there are. A second thread looks whether the first comes
// back from the store, whose library waits for an answer as long as TCP does.
class Watch {
 public:
  // `store`: a connection of the watch's own; it must outlive the watch.
  Watch(c10::intrusive_ptr<c10d::Store> store, int rank, int size, const GroupOptions& options,
        std::string meeting_point);
  ~Watch() { stop(); }

  void stop();
  // Counts an exchange that begins: who counts less than the others is the one they wait for.
  void exchanging() { ++exchanges_; }

  // After an exchange failed with `reason`: finds out who is to blame, within a few seconds.
  std::string blame(const std::string& reason);
  // Sets the verdict unless there is one. Returns the verdict.
  std::string judge(const std::string& verdict);
  // "rank 3 (node7, process 4242)"
  std::string named(int rank);

 private:
  struct Sign {
    int64_t beats = 0, exchanges = 0;
  };

  void run();
  void guard();
  [[noreturn]] void end(const std::string& verdict) const;
  bool pause(std::chrono::milliseconds time);
  void beat();
  void look_at_next();
  std::optional<std::string> verdict();
  Sign sign_of(int rank);
  std::string gone() const;
  void end_if_stuck(const std::string& verdict);
  std::string find_culprit(const std::string& reason);

  c10::intrusive_ptr<c10d::Store> store_;
  int rank_, size_;
  GroupOptions options_;
  std::string meeting_point_;
  std::atomic<int64_t> exchanges_{0};
  std::atomic<int64_t> looks_{0};       // rounds of the thread that talks to the store
  std::chrono::milliseconds interval_;  // between signs
  int64_t beats_ = 0;
  Sign next_;
  std::chrono::steady_clock::time_point next_moved_;

  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  bool noticed_ = false;  // by the run itself: no need to end the process from here
  bool judged_ = false;
  std::thread thread_, guard_;
};

}  // namespace nestvit::train

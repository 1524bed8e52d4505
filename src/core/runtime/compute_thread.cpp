// The team's leader: it waits for work, and hands what the work throws to the caller.
#include "runtime/compute_thread.h"

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "kernels/portable.h"

namespace nestvit {
namespace {

// How many forks lie between the first process and this one.
std::atomic<unsigned> forks = 0;
[[maybe_unused]] const int counts_forks = pthread_atfork(nullptr, nullptr, [] { ++forks; });

}  // namespace

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

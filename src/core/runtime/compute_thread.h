// The one thread that leads all threads of a forward pass.
#pragma once

#include <atomic>
#include <functional>

namespace nestvit {

// The thread that does all computing of an engine, with an OpenMP team of `threads` whose members
// flush denormals. A team belongs to the thread that starts it, and callers come from any thread
// (an HTTP server's, another OpenMP region's): one fixed leader gives all of them the same team and
// the same floating-point mode. Threads do not survive fork(): in a child of the process the first
// call starts a leader of its own.
class ComputeThread {
 public:
  explicit ComputeThread(int threads);
  ~ComputeThread();
  ComputeThread(const ComputeThread&) = delete;
  ComputeThread& operator=(const ComputeThread&) = delete;

  int threads() const { return threads_; }
  // Runs `work` on the thread and waits for its end; calls from several threads queue up. Rethrows
  // what it throws.
  void run(const std::function<void()>& work);

 private:
  class Leader;
  Leader& leader();

  const int threads_;
  std::atomic<Leader*> leader_;
};

}  // namespace nestvit

// The processes of a training run and their collective calls. In a group of one these return what
// they were given, so the caller needs no second path. Free of libtorch.
//
//   Group group(read_launch());                     // in every process of the run
//   std::vector<double> sums = {images, loss};      // of this process
//   group.all_reduce_sum(sums);                     // of all processes
//   if (group.is_root()) write_row(sums);
//   group.finish();
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "run/launch.h"

namespace at {
class Tensor;
}

namespace nestvit::train {

// The library that carries tensors between processes on GPUs; between CPUs it is always Gloo.
enum class Backend {
  kAuto,  // NCCL where every process can and has a GPU of its own, else Gloo
  kGloo,
  kNccl,
};
// By its name: auto, gloo, nccl. Throws UsageError for another one.
Backend backend_named(const std::string& name);

struct GroupOptions {
  // How long an exchange waits for a process that is alive but does not join it.
  std::chrono::seconds timeout{600};
  // How long a process may go without a heartbeat; never more than `timeout`.
  std::chrono::seconds heartbeat_timeout{30};
  // A named backend is used in a group of one, too: the process then exchanges with itself.
  Backend backend = Backend::kAuto;
};

// The collective calls, all_reduce_sum() to all_reduce_mean() and finish(), are made by all
// processes in the same order. When a process has ended, has lost its heartbeat or does not join a
// call, the others throw an Error that names it, or, where they cannot because they wait inside a
// library, exit with code 1 and the same message: at once when its connections broke, after the
// limits of GroupOptions otherwise.
class Group {
 public:
  Group();  // of one
  static const Group& alone();
  // Connects with the others. Throws Error that names those who did not connect within `timeout`.
  explicit Group(const Launch& launch, const GroupOptions& options = {});
  ~Group();  // does not notify the others: call finish() or report_failure() before
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  int rank() const { return rank_; }
  int world_size() const { return world_size_; }
  // The process that writes files and prints.
  bool is_root() const { return rank_ == 0; }
  // False in a group of one, unless its options name a backend.
  bool exchanges() const { return members_ != nullptr; }

  void all_reduce_sum(std::span<double> values) const;
  void all_reduce_sum(std::span<int64_t> values) const;
  int all_reduce_max(int value) const;
  // The text of rank 0, and the texts of all ranks in their order.
  std::string broadcast(const std::string& text) const;
  std::vector<std::string> all_gather(const std::string& text) const;
  // In place: rank 0's values, or the mean of all. Floating point tensors of equal sizes.
  void broadcast_tensors(const std::vector<at::Tensor>& tensors) const;
  void all_reduce_mean(const std::vector<at::Tensor>& tensors) const;

  // The run is over: waits for the others, then stops the heartbeat.
  void finish();
  // Tells the others why this process ends. False when another process gave the same reason before:
  // it has been printed already.
  bool report_failure(const std::string& reason);

  // For gradient_reducer.h and backend.h; null when the group exchanges nothing.
  struct Members;
  Members* members() const { return members_.get(); }

 private:
  int rank_ = 0, world_size_ = 1;
  std::unique_ptr<Members> members_;
};

}  // namespace nestvit::train

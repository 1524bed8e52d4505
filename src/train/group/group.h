// The processes of a training run: what they agree on, add up and tell one another. A group of one
// does nothing of it, so that who uses a group need not know. Free of libtorch.
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

// What carries tensors on a GPU from process to process; between CPUs it is always Gloo.
enum class Backend {
  kAuto,  // NCCL where every process can and has a GPU of its own, else Gloo
  kGloo,
  kNccl,
};
// By its name: auto, gloo, nccl. Throws UsageError for another one.
Backend backend_named(const std::string& name);

struct GroupOptions {
  // How long an exchange waits for a process that lives but does not come.
  std::chrono::seconds patience{600};
  // How long a process may give no sign of life at all; never more than `patience`.
  std::chrono::seconds silence{30};
  // One that is named is used by a process alone, too, which then exchanges with itself.
  Backend backend = Backend::kAuto;
};

// Every call with "all" in its name is made by all processes, in the same order. Where one of them
// has ended, is silent or does not come, the others throw Error that names it, or, where they
// cannot since they wait inside a library, end with exit code 1 and the same words: at once when
// its connections broke, after the limits of GroupOptions otherwise.
class Group {
 public:
  Group();  // of one
  static const Group& alone();
  // Meets the others. Throws Error that names those who did not come within `patience`.
  explicit Group(const Launch& launch, const GroupOptions& options = {});
  ~Group();  // leaves without a word: finish() or fail() come before
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  int rank() const { return rank_; }
  int world_size() const { return world_size_; }
  bool is_root() const { return rank_ == 0; }             // rank 0 writes files and the log
  bool exchanges() const { return members_ != nullptr; }  // false: every call returns what it got

  void all_reduce_sum(std::span<double> values) const;
  void all_reduce_sum(std::span<int64_t> values) const;
  int all_reduce_max(int value) const;
  std::string first_of_all(const std::string& text) const;               // rank 0's
  std::vector<std::string> texts_of_all(const std::string& text) const;  // by rank
  // In place: rank 0's values, or the mean of all. Floating point tensors of equal sizes.
  void copy_first_to_all(const std::vector<at::Tensor>& tensors) const;
  void average_all(const std::vector<at::Tensor>& tensors) const;

  // The run is over: waits for the others, then stops watching them.
  void finish_all();
  // Tells the others why this process ends. False when they know the same reason already, from
  // another one: then there is nothing to say.
  bool fail(const std::string& reason);

  // What exchange.h needs to work on; null for a group of one.
  struct Members;
  Members* members() const { return members_.get(); }

 private:
  int rank_ = 0, world_size_ = 1;
  std::unique_ptr<Members> members_;
};

}  // namespace nestvit::train

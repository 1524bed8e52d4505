// The collective calls of c10d behind Group.
#include "train/group/group.h"

#include <nestvit/error.h>

#include <algorithm>
#include <cstring>

#include "train/group/members.h"
#include "train/group/rendezvous.h"

namespace nestvit::train {
namespace {

// At a free port, whatever the environment says.
Launch with_itself() {
  Launch launch;
  launch.port = 0;
  return launch;
}

}  // namespace

Backend backend_named(const std::string& name) {
  if (name == "auto") return Backend::kAuto;
  if (name == "gloo") return Backend::kGloo;
  if (name == "nccl") return Backend::kNccl;
  throw UsageError(fmt::format("--dist-backend {}: there is no such backend", name),
                   "auto, nccl or gloo");
}

Group::Group() = default;

const Group& Group::alone() {
  static const Group one;
  return one;
}

Group::Group(const Launch& launch, const GroupOptions& options)
    : rank_(launch.rank), world_size_(launch.size) {
  if (world_size_ > 1)
    members_ = meet_others(launch, options);
  else if (options.backend != Backend::kAuto)
    members_ = meet_others(with_itself(), options);
}

// The heartbeat goes last: it ends the process if the destructors before it wait for the others.
Group::~Group() {
  if (!members_) return;
  members_->processes.reset();
  members_->nccl.reset();
}

namespace {

template <class Value>
void all_reduce_sum_of(const Group& group, std::span<Value> values) {
  if (!group.members() || values.empty()) return;
  std::vector<at::Tensor> tensors = {torch::from_blob(values.data(),
                                                      {static_cast<int64_t>(values.size())},
                                                      c10::CppTypeToScalarType<Value>::value)};
  group.members()->guarded([&] { group.members()->processes->allreduce(tensors)->wait(); });
}

}  // namespace

void Group::all_reduce_sum(std::span<double> values) const { all_reduce_sum_of(*this, values); }
void Group::all_reduce_sum(std::span<int64_t> values) const { all_reduce_sum_of(*this, values); }

int Group::all_reduce_max(int value) const {
  if (!members_) return value;
  std::vector<at::Tensor> tensors = {torch::tensor({int64_t{value}})};
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp::MAX;
  members_->guarded([&] { members_->processes->allreduce(tensors, options)->wait(); });
  return static_cast<int>(tensors[0].item<int64_t>());
}

std::vector<std::string> Group::all_gather(const std::string& text) const {
  if (!members_) return {text};
  std::vector<int64_t> sizes(static_cast<size_t>(world_size_));
  sizes[static_cast<size_t>(rank_)] = static_cast<int64_t>(text.size());
  all_reduce_sum(sizes);
  const int64_t longest = std::max<int64_t>(1, *std::max_element(sizes.begin(), sizes.end()));
  std::vector<at::Tensor> mine = {torch::zeros({longest}, torch::kUInt8)};
  std::memcpy(mine[0].data_ptr(), text.data(), text.size());
  std::vector<std::vector<at::Tensor>> all(1);
  for (int rank = 0; rank < world_size_; ++rank) all[0].push_back(torch::empty_like(mine[0]));
  members_->guarded([&] { members_->processes->allgather(all, mine)->wait(); });
  std::vector<std::string> texts;
  for (size_t rank = 0; rank < sizes.size(); ++rank)
    texts.emplace_back(static_cast<const char*>(all[0][rank].data_ptr()),
                       static_cast<size_t>(sizes[rank]));
  return texts;
}

std::string Group::broadcast(const std::string& text) const {
  return all_gather(is_root() ? text : "").front();
}

void Group::broadcast_tensors(const std::vector<at::Tensor>& tensors) const {
  if (!members_ || tensors.empty()) return;
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> plain;
  for (const at::Tensor& tensor : tensors) plain.push_back(tensor.detach());
  members_->guarded([&] {
    c10d::broadcast_coalesced(members_->processes, plain, c10d::kDefaultBucketBytesCap, 0);
  });
}

void Group::all_reduce_mean(const std::vector<at::Tensor>& tensors) const {
  if (!members_ || tensors.empty()) return;
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& tensor : tensors) flat.push_back(tensor.detach().flatten());
  std::vector<at::Tensor> sum = {torch::cat(flat)};
  members_->guarded([&] { members_->processes->allreduce(sum)->wait(); });
  const at::Tensor mean = sum[0] / world_size_;
  int64_t first = 0;
  for (const at::Tensor& tensor : tensors) {
    tensor.detach().copy_(mean.narrow(0, first, tensor.numel()).view_as(tensor));
    first += tensor.numel();
  }
}

void Group::finish() {
  if (!members_) return;
  all_reduce_max(0);
  if (members_->nccl) members_->nccl->shutdown();
  members_->heartbeat->stop();
}

bool Group::report_failure(const std::string& reason) {
  if (!members_) return true;
  Members& m = *members_;
  try {
    const std::string why = fmt::format(" failed: {}", reason);
    const std::string mine = m.heartbeat->name_of(rank_) + why;
    const std::string failure = m.heartbeat->report_failure(mine);
    // The process that holds the store waits until the others have read the failure from it.
    m.store->add("left", 1);
    for (int i = 0; m.server && m.store->add("left", 0) < world_size_ && i < 50; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return failure == mine || !failure.ends_with(why);
  } catch (const std::exception&) {
    return true;
  }
}

}  // namespace nestvit::train

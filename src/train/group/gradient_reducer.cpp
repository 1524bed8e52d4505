// The settings of c10d's reducer, and the order of calls that it expects.
#include "train/group/gradient_reducer.h"

#include "train/group/members.h"

namespace nestvit::train {
namespace {

// Buckets are filled in the order of the backward, so the last parameters come first. After the
// first step c10d sorts them by the order that it saw.
std::unique_ptr<c10d::Reducer> make_reducer(const c10::intrusive_ptr<c10d::ProcessGroup>& processes,
                                            const std::vector<torch::Tensor>& parameters) {
  const std::vector<bool> sparse(parameters.size(), false);
  auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(
      parameters, {c10d::kDefaultFirstBucketBytes, c10d::kDefaultBucketBytesCap}, sparse);
  std::reverse(buckets.begin(), buckets.end());
  std::reverse(limits.begin(), limits.end());
  std::vector<int64_t> caps(limits.begin(), limits.end());
  return std::make_unique<c10d::Reducer>(
      parameters, std::move(buckets), processes, sparse, c10d::kDefaultBucketBytesCap,
      /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/true,
      std::unordered_map<size_t, std::string>{}, c10d::kDefaultFirstBucketBytes,
      /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false, std::move(caps));
}

}  // namespace

GradientReducer::GradientReducer(const Group& group, const std::vector<torch::Tensor>& parameters)
    : group_(group), parameters_(parameters) {
  if (auto* members = group.members())
    members->guarded([&] { reducer_ = make_reducer(members->processes, parameters_); });
}

GradientReducer::~GradientReducer() {
  // Its destructor may throw when the backward was interrupted. Leaking it is harmless then.
  try {
    reducer_.reset();
  } catch (const std::exception&) {
    reducer_.release();
  }
}

void GradientReducer::backward(const torch::Tensor& loss, bool last) {
  if (!reducer_ || !last) {
    if (loss.defined()) loss.backward();
    return;
  }
  torch::Tensor sum = loss;
  if (!sum.defined()) {
    sum = torch::zeros({}, parameters_.front().options());
    for (const torch::Tensor& p : parameters_) sum = sum + 0 * p.sum();
  }
  group_.members()->guarded([&] {
    reducer_->rebuild_buckets();
    reducer_->prepare_for_backward({});
    sum.backward();
  });
}

}  // namespace nestvit::train

// The mean of the gradients of a group's processes, computed while the backward still runs.
#pragma once

#include <memory>
#include <vector>

#include "train/group/c10d.h"
#include "train/group/group.h"

namespace nestvit::train {

// c10d's Reducer, as DistributedDataParallel uses it: gradients are collected in buckets of 25 MB
// (the first of 1 MB), and each bucket is exchanged as soon as the backward has filled it.
class GradientReducer {
 public:
  // `parameters`: those that are trained; the same in all processes.
  GradientReducer(const Group& group, const std::vector<torch::Tensor>& parameters);
  ~GradientReducer();

  // loss.backward(). With `last`, the last backward of a step, the gradients added up since the
  // last exchange become their mean over the processes: a collective call. An undefined loss stands
  // for a gradient of 0, of a process that has no images.
  void backward(const torch::Tensor& loss, bool last);

 private:
  const Group& group_;
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<c10d::Reducer> reducer_;  // null in a group of one
};

}  // namespace nestvit::train

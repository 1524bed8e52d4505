// The gradients of a group's processes: their mean, made while the backward still runs.
#pragma once

#include <memory>
#include <vector>

#include "train/group/c10d.h"
#include "train/group/group.h"

namespace nestvit::train {

// c10d's Reducer, as DistributedDataParallel uses it: gradients are put together in buckets of 25
// MB (the first of 1 MB), and each is exchanged as soon as the backward has filled it.
class Exchange {
 public:
  // `parameters`: those that are trained; alike in all processes.
  Exchange(const Group& group, const std::vector<torch::Tensor>& parameters);
  ~Exchange();

  // loss.backward(). `last`: of the step; gradients of all since the last exchange are then the
  // mean over the processes. All processes call it with `last` equally often. An undefined loss
  // stands for a gradient of 0: a process that has no images.
  void backward(const torch::Tensor& loss, bool last);

 private:
  const Group& group_;
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<c10d::Reducer> reducer_;  // null in a group of one
};

}  // namespace nestvit::train

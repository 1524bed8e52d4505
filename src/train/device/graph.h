// Forward and backward of batches of one shape, run again and again on the same tensors, so that a
// GPU can record them once as a CUDA graph: one launch instead of thousands.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "train/torch.h"

namespace nestvit::train {

// Reads tensors that stay where they are, returns its results.
using Work = std::function<std::vector<torch::Tensor>()>;

// Work that can be repeated: run() returns its results, which the next run() overwrites.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual const std::vector<torch::Tensor>& run() = 0;
};
using MakeGraph = std::function<std::unique_ptr<Graph>(Work, const torch::Device&)>;

class BatchGraph {
 public:
  // images [B, channels, S, S], targets [B, K] -> logits [B, K] in f32 and the loss [].
  using Forward = std::function<std::pair<torch::Tensor, torch::Tensor>(
      const torch::Tensor& images, const torch::Tensor& targets)>;

  // `parameters`: those that are trained. `forward` does the same operations at each call and never
  // waits for the device.
  BatchGraph(MakeGraph make, Forward forward, std::vector<torch::Tensor> parameters);
  BatchGraph(const BatchGraph&) = delete;
  BatchGraph& operator=(const BatchGraph&) = delete;

  // forward(), and its gradient times `factor` added to the parameters'. All calls have the shapes
  // of the first; the results are good until the next one.
  std::pair<torch::Tensor, torch::Tensor> backward(const torch::Tensor& images,
                                                   const torch::Tensor& targets, double factor);

 private:
  std::vector<torch::Tensor> work();

  MakeGraph make_;
  Forward forward_;
  std::vector<torch::Tensor> parameters_;
  torch::Tensor images_, targets_, factor_;  // what the work reads; factor_ is f32 []
  std::unique_ptr<Graph> graph_;             // from the first batch on
};

}  // namespace nestvit::train

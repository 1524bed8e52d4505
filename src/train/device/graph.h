// The backward of batches of one shape, done again and again with the same tensors, so that a GPU
// may record it once as a CUDA graph: one launch instead of thousands.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "train/torch.h"

namespace nestvit::train {

// What is done again: reads tensors that stay where they are, returns what it made.
using Work = std::function<std::vector<torch::Tensor>()>;

// Does its work at every run() and returns the results, which are overwritten by the next one.
class Replay {
 public:
  virtual ~Replay() = default;
  virtual const std::vector<torch::Tensor>& run() = 0;
};
using MakeReplay = std::function<std::unique_ptr<Replay>(Work, const torch::Device&)>;

class BatchReplay {
 public:
  // images [B, channels, S, S], targets [B, K] -> logits [B, K] in f32 and the loss [].
  using Forward = std::function<std::pair<torch::Tensor, torch::Tensor>(
      const torch::Tensor& images, const torch::Tensor& targets)>;

  // `parameters`: those that are trained. `forward` does the same operations at each call and never
  // waits for the device.
  BatchReplay(MakeReplay make, Forward forward, std::vector<torch::Tensor> parameters);
  BatchReplay(const BatchReplay&) = delete;
  BatchReplay& operator=(const BatchReplay&) = delete;

  // forward(), and its gradient times `factor` added to the parameters'. All calls have the shapes
  // of the first; the results are good until the next one.
  std::pair<torch::Tensor, torch::Tensor> backward(const torch::Tensor& images,
                                                   const torch::Tensor& targets, double factor);

 private:
  std::vector<torch::Tensor> work();

  MakeReplay make_;
  Forward forward_;
  std::vector<torch::Tensor> parameters_;
  torch::Tensor images_, targets_, factor_;  // what the work reads; factor_ f32 []
  std::unique_ptr<Replay> replay_;           // from the first batch on
};

}  // namespace nestvit::train

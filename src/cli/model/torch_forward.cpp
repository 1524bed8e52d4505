// Runs train/network/nest.h with a model's tensors.
#include "cli/model/torch_forward.h"

#include <nestvit/error.h>

#include "base/system/processors.h"
#include "train/network/nest.h"
#include "train/network/tensors.h"
#include "train/torch.h"

namespace nestvit::cli {
namespace {

std::vector<float> values_of(const torch::Tensor& tensor) {
  const torch::Tensor dense = tensor.contiguous();
  return {dense.data_ptr<float>(), dense.data_ptr<float>() + dense.numel()};
}

}  // namespace

Forward torch_forward(const LoadedModel& model, const ForwardOptions& options) {
  at::globalContext().setFlushDenormal(true);
  if (options.precision != NumberType::kF32)
    throw UsageError("--engine torch evaluates in f32", "leave --dtype or --engine out");
  at::set_num_threads(thread_count(options.threads));
  train::Nest net(model.config);
  train::load_tensors(*net, model.tensors);
  net->eval();
  return [net](std::span<const float> input, int batch, bool features) mutable {
    const torch::NoGradGuard no_grad;
    const NestConfig& config = net->config();
    // from_blob takes a mutable pointer; forward only reads.
    const torch::Tensor x =
        torch::from_blob(const_cast<float*>(input.data()),
                         {batch, config.in_channels, config.image_size, config.image_size});
    std::vector<torch::Tensor> levels;
    Output output;
    output.logits = values_of(net->forward(x, features ? &levels : nullptr));  // [B, K]
    for (const torch::Tensor& level : levels)
      output.levels.push_back({level.sizes().vec(), values_of(level)});  // [B, T, N, C]
    return output;
  };
}

}  // namespace nestvit::cli

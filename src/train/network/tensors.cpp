// Copies by name and shape; see tensors.h.
#include "train/network/tensors.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/check.h"

namespace nestvit::train {

torch::Tensor to_torch(const Tensor& tensor) {
  std::vector<float> values = tensor.to_f32();
  return torch::from_blob(values.data(), tensor.shape(), torch::kFloat32).clone();
}

Tensor from_torch(const torch::Tensor& tensor) {
  const bool integer = tensor.scalar_type() == torch::kInt64;
  const torch::Tensor host =
      tensor.detach().to(torch::kCPU, integer ? torch::kInt64 : torch::kFloat32).contiguous();
  if (integer) {
    const auto* first = host.const_data_ptr<int64_t>();
    return Tensor::i64(host.sizes().vec(), std::vector<int64_t>(first, first + host.numel()));
  }
  const auto* first = host.const_data_ptr<float>();
  return Tensor::f32(host.sizes().vec(), std::vector<float>(first, first + host.numel()));
}

torch::Tensor images_tensor(const Batch& batch) {
  const int64_t size = int64_t{batch.size} * batch.channels * batch.height * batch.width;
  NESTVIT_CHECK(static_cast<int64_t>(batch.images.size()) == size);
  // from_blob takes no const pointer; the model never writes to its input.
  return torch::from_blob(const_cast<float*>(batch.images.data()),
                          {batch.size, batch.channels, batch.height, batch.width}, torch::kFloat32);
}

torch::Tensor labels_tensor(const Batch& batch) {
  NESTVIT_CHECK(static_cast<int>(batch.labels.size()) == batch.size);
  return torch::tensor(at::ArrayRef<int>(batch.labels), torch::kInt64);
}

namespace {

// Parameters, then buffers, by name.
std::vector<std::pair<std::string, torch::Tensor>> named_tensors(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, torch::Tensor>> named;
  for (const auto& item : module.named_parameters()) named.emplace_back(item.key(), item.value());
  for (const auto& item : module.named_buffers()) named.emplace_back(item.key(), item.value());
  return named;
}

}  // namespace

void load_tensors(torch::nn::Module& module, const TensorMap& tensors) {
  torch::NoGradGuard no_grad;
  const auto named = named_tensors(module);
  for (const auto& [name, target] : named) {
    const Tensor& source = find_tensor(tensors, name, "the weights");
    if (source.shape() != target.sizes().vec())
      throw Error(fmt::format("{} has shape {}, the model needs {}", name,
                              shape_text(source.shape()), shape_text(target.sizes().vec())),
                  "the weights are of a model with another configuration");
  }
  for (const auto& [name, _] : tensors)
    if (std::none_of(named.begin(), named.end(),
                     [&](const auto& item) { return item.first == name; }))
      throw Error("the weights hold " + name + ", which the model does not have",
                  "the weights are of a model with another configuration");
  for (const auto& [name, target] : named) torch::Tensor(target).copy_(to_torch(tensors.at(name)));
}

TensorMap export_tensors(const torch::nn::Module& module) {
  TensorMap tensors;
  for (const auto& [name, value] : named_tensors(module)) tensors[name] = from_torch(value);
  return tensors;
}

}  // namespace nestvit::train

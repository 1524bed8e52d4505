// Conversions between nestvit's data and libtorch's: batches, named tensors, modules.
#pragma once

#include "image/image.h"
#include "train/torch.h"
#include "weights/tensor.h"

namespace nestvit::train {

torch::Tensor to_torch(const Tensor& tensor);    // copies, f32
Tensor from_torch(const torch::Tensor& tensor);  // copies to CPU, f32 (int64 stays)
// [B, C, S, S]; shares the batch's memory: the batch must outlive the result.
torch::Tensor images_tensor(const Batch& batch);
torch::Tensor labels_tensor(const Batch& batch);  // int64 [B]

// Copies by name into parameters and buffers. Throws Error for a missing, additional or misshapen
// name.
void load_tensors(torch::nn::Module& module, const TensorMap& tensors);
// Parameters and buffers by name (timm's state_dict names; the parameter table).
TensorMap export_tensors(const torch::nn::Module& module);

}  // namespace nestvit::train

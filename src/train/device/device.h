// Where a network computes: the CPU, or a GPU through libtorch's CUDA library, which is loaded when
// one is asked for and not before.
#pragma once

#include <string>

#include "run/recipe/recipe.h"
#include "train/group/group.h"
#include "train/torch.h"

namespace nestvit::train {

// `name`: cpu, cuda (the first GPU) or cuda:I. Call it before the first tensor: for a GPU it loads
// libtorch_cuda.so, from the folder NESTVIT_TORCH_LIB or from where the dynamic linker looks, and
// libtorch looks for it only once. It also sets whether f32 products on the GPU are IEEE f32 or,
// for `amp` tf32, tf32: for the whole process until the next call. Throws UsageError for another
// name and for tf32 on the CPU; Error when the library or the GPU is missing.
torch::Device open_device(const std::string& name, Amp amp);

// Throws UsageError for a run whose forward and backward cannot be recorded as a CUDA graph.
void check_cuda_graph(const Recipe& recipe, const std::string& device, const Group& group);

// The device of the parameters.
torch::Device device_of(const torch::nn::Module& module);

// x on `device`; itself when it is there. From the CPU to a GPU through pinned memory, without
// waiting: x may change once this has returned.
torch::Tensor moved(const torch::Tensor& x, const torch::Device& device);

}  // namespace nestvit::train

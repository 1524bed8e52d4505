// Where a network computes: the CPU, or a GPU through libtorch's CUDA library, which is loaded when
// one is asked for and not before.
#pragma once

#include <string>

#include "run/recipe/recipe.h"
#include "train/group/group.h"
#include "train/torch.h"

namespace nestvit::train {

// `name`: cpu, cuda (the first GPU) or cuda:I. For a GPU it loads libtorch_cuda.so, from the folder
// NESTVIT_TORCH_LIB or from where the dynamic linker looks, before the first tensor: libtorch looks
// for it once. It also sets what `amp` means there, for the whole process until the next call: f32
// products are IEEE f32 unless it is tf32. Throws UsageError for another name and for tf32 on the
// CPU; Error when the library or the GPU is missing.
torch::Device open_device(const std::string& name, Amp amp);

// Throws UsageError for a run whose forward and backward cannot be recorded as a CUDA graph.
void check_cuda_graph(const Recipe& recipe, const std::string& device, const Group& group);

// Where the parameters are.
torch::Device device_of(const torch::nn::Module& module);

// x on `device`; itself when it is there. From the CPU to a GPU through pinned memory, without
// waiting: x may change once this has returned.
torch::Tensor moved(const torch::Tensor& x, const torch::Device& device);

}  // namespace nestvit::train

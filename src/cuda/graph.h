// Work as a CUDA graph; CudaModule::make_graph (train/device/cuda_module.h).
#pragma once

#include <memory>

#include "train/device/graph.h"

namespace nestvit::cuda {

std::unique_ptr<train::Graph> make_graph(train::Work work, const torch::Device& gpu);

}  // namespace nestvit::cuda

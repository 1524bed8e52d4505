// Work as a CUDA graph; CudaModule::replay (train/cuda_module.h).
#pragma once

#include <memory>

#include "train/device/graph.h"

namespace nestvit::cuda {

std::unique_ptr<train::Replay> make_replay(train::Work work, const torch::Device& gpu);

}  // namespace nestvit::cuda

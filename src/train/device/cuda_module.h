// The parts that need CUDA's and NCCL's headers: libnestvit_cuda.so (src/cuda). It is built where
// those headers are and loaded when one of its parts is needed; everything else works without it.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "train/device/graph.h"
#include "train/group/c10d.h"

namespace nestvit::train {

struct CudaModule {
  // The module and the program must be of one build.
  const char* version;
  // A backend between GPUs, each of which belongs to one process. `timeout`: how long an exchange
  // waits. Throws c10::Error.
  c10::intrusive_ptr<c10d::Backend> (*nccl)(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout);
  // Identifies the GPU on this machine, whatever index this process gives it: "0000:3b:00.0".
  std::string (*bus_address)(const torch::Device& gpu);
  // Makes a CUDA graph: its first runs do the work operation by operation, so that libraries can
  // set themselves up; then it is recorded. Random numbers are drawn from the GPU's generator as it
  // is at each run().
  std::unique_ptr<Graph> (*make_graph)(Work work, const torch::Device& gpu);
};

// The function of the library that returns its CudaModule.
inline constexpr const char* kCudaModuleEntry = "nestvit_cuda_module";

// The module beside this program; loaded at the first call, which comes after open_device() of a
// GPU. Throws Error when it is not there, cannot be loaded or is of another build.
const CudaModule& cuda_module();
// The same of any file, for tests.
const CudaModule& open_cuda_module(const std::filesystem::path& file);

}  // namespace nestvit::train

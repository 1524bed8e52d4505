// libnestvit_cuda.so's one entry, and NCCL as a backend of c10d.
#include "cuda/graph.h"
#include "cuda/torch_cuda.h"
#include "train/device/cuda_module.h"

namespace nestvit::cuda {
namespace {

c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout) {
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
}

std::string bus_address(const torch::Device& gpu) {
  char text[32] = "";
  C10_CUDA_CHECK(cudaDeviceGetPCIBusId(text, sizeof text, gpu.index()));
  return text;
}

constexpr train::CudaModule kModule = {NESTVIT_BUILD, make_nccl, bus_address, make_graph};

}  // namespace
}  // namespace nestvit::cuda

extern "C" __attribute__((visibility("default"))) const nestvit::train::CudaModule*
nestvit_cuda_module() {
  return &nestvit::cuda::kModule;
}

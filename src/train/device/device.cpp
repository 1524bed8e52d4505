// Loads libtorch_cuda.so, whose static initialisers register the GPU with libtorch.
#include "train/device/device.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <nestvit/error.h>

#include <cstdlib>
#include <optional>

#include "base/log.h"
#include "base/system/environment.h"

namespace nestvit::train {
namespace {

std::optional<torch::Device> parsed(const std::string& name) {
  if (name == "cpu") return torch::Device(torch::kCPU);
  if (name == "cuda") return torch::Device(torch::kCUDA, 0);
  constexpr std::string_view kPrefix = "cuda:";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string index = name.substr(kPrefix.size());
  if (index.empty() || index.size() > 2 ||
      index.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(std::stoi(index)));
}

void load_cuda() {
  const auto folder = environment_variable("NESTVIT_TORCH_LIB");
  const std::string library = folder ? *folder + "/libtorch_cuda.so" : "libtorch_cuda.so";
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL)) return;
  throw Error(fmt::format("--device cuda needs libtorch's CUDA library: {}", dlerror()),
              fmt::format("pip install torch=={} brings it, with the CUDA libraries it needs; then "
                          "set NESTVIT_TORCH_LIB to that package's folder torch/lib",
                          TORCH_VERSION));
}

void check_gpu(const torch::Device& device) {
  int64_t count = 0;
  std::string reason = "it finds none";
  try {
    count = static_cast<int64_t>(torch::cuda::device_count());
    if (count > 0) at::globalContext().lazyInitDevice(torch::kCUDA);
  } catch (const c10::Error& e) {
    count = 0;
    reason = e.what_without_backtrace();
  }
  if (count == 0)
    throw Error(
        fmt::format("libtorch's CUDA library is loaded, but there is no usable GPU: {}", reason),
        "nvidia-smi shows whether the driver sees one; CUDA_VISIBLE_DEVICES can hide it");
  if (device.index() >= count)
    throw Error(
        fmt::format("--device {}, but there {}", device.str(),
                    count == 1 ? "is one GPU: cuda:0"
                               : fmt::format("are {} GPUs: cuda:0 to cuda:{}", count, count - 1)),
        "name one of these; CUDA_VISIBLE_DEVICES can hide others");
}

}  // namespace

torch::Device open_device(const std::string& name, Amp amp) {
  const auto device = parsed(name);
  if (!device)
    throw UsageError(fmt::format("--device {}: there is no such device", name),
                     "cpu, cuda or cuda:1");
  if (device->is_cpu()) {
    if (amp == Amp::kTf32)
      throw UsageError("amp tf32 needs a GPU: the CPU has no tf32 products",
                       "give --device cuda; a new run may have another --amp-dtype");
  } else {
    load_cuda();
    check_gpu(*device);
    // The current GPU, for calls that name none: pinned memory, NCCL, random numbers of a graph.
    c10::impl::VirtualGuardImpl(torch::kCUDA).setDevice(*device);
    at::globalContext().setAllowTF32CuBLAS(amp == Amp::kTf32);
    at::globalContext().setAllowTF32CuDNN(amp == Amp::kTf32);
  }
  log_info(fmt::format("device         {}", device->str()));
  return *device;
}

void check_cuda_graph(const Recipe& recipe, const std::string& device, const Group& group) {
  if (device == "cpu")
    throw UsageError("--cuda-graph records what a GPU does, and the device is cpu",
                     "give --device cuda, or leave it out");
  // The reducer decides in each backward when it exchanges which bucket.
  if (group.exchanges())
    throw UsageError("--cuda-graph in a run that exchanges gradients, which cannot be recorded",
                     "leave it out with several processes and with --dist-backend");
  // The second run of a layer sets the generator back to where the first one was.
  if (recipe.grad_checkpointing)
    throw UsageError(
        "--cuda-graph with grad_checkpointing: layers that are computed again set the random "
        "numbers back, which cannot be recorded",
        "leave one of them out");
}

torch::Device device_of(const torch::nn::Module& module) {
  return module.parameters().front().device();
}

torch::Tensor moved(const torch::Tensor& x, const torch::Device& device) {
  if (x.device() == device) return x;
  return x.pin_memory().to(device, /*non_blocking=*/true);
}

}  // namespace nestvit::train

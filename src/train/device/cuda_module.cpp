// Loads libnestvit_cuda.so. Its references to libtorch's CUDA library resolve to the one that
// open_device() has loaded with RTLD_GLOBAL.
#include "train/device/cuda_module.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <nestvit/error.h>

#include <cstring>

#include "base/system/environment.h"

namespace nestvit::train {

const CudaModule& open_cuda_module(const std::filesystem::path& file) {
  const std::string name = file.string();
  if (!std::filesystem::exists(file))
    throw Error(fmt::format("NCCL and CUDA graphs need {}, which is not there", name),
                "build nestvit where CUDA's toolkit and NCCL's header are (cmake "
                "-DNESTVIT_CUDA=ON says what is missing)");
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    throw Error(
        fmt::format("{} cannot be loaded: {}", name, dlerror()),
        fmt::format("it needs the CUDA library of libtorch {}, of the same build", TORCH_VERSION));
  using Entry = const CudaModule* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, kCudaModuleEntry));
  if (!entry)
    throw Error(fmt::format("{} is not nestvit's: it has no {}", name, kCudaModuleEntry),
                "put the one of this build beside nestvit-train");
  const CudaModule& found = *entry();
  if (std::strcmp(found.version, NESTVIT_BUILD) != 0)
    throw Error(
        fmt::format("{} is of nestvit {}, this program of {}", name, found.version, NESTVIT_BUILD),
        "put the one of this build beside nestvit-train");
  return found;
}

const CudaModule& cuda_module() {
  static const CudaModule& module =
      open_cuda_module(own_program().parent_path() / "libnestvit_cuda.so");
  return module;
}

}  // namespace nestvit::train

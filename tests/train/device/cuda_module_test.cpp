// The module of CUDA's parts where there is none to load. Needs no GPU.
#include "train/device/cuda_module.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cstdlib>
#include <fstream>

#include "support/temp_dir.h"

namespace nestvit::train {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string why_not(const fs::path& file) {
  try {
    open_cuda_module(file);
  } catch (const Error& error) {
    return error.what() + ("; " + error.hint());
  }
  return "";
}

TEST(CudaModule, MissingOneIsNamed) {
  EXPECT_THAT(why_not("/nowhere/libnestvit_cuda.so"),
              AllOf(HasSubstr("/nowhere/libnestvit_cuda.so"), HasSubstr("not there"),
                    HasSubstr("NESTVIT_CUDA=ON")));
}

TEST(CudaModule, WhatIsNoModuleIsRefused) {
  const testing::TempDir folder;
  const fs::path file = folder / "libnestvit_cuda_test.so";
  std::ofstream(file) << "not a library";
  EXPECT_THAT(why_not(file), HasSubstr("cannot be loaded"));
  // A library of this process that has no such entry.
  Dl_info torch;
  ASSERT_NE(dladdr(reinterpret_cast<const void*>(&at::get_num_threads), &torch), 0);
  EXPECT_THAT(why_not(torch.dli_fname), HasSubstr("is not nestvit's"));
}

// Built here or not: without libtorch's CUDA library it cannot be loaded, and says so.
TEST(CudaModule, TheOneOfThisBuildNeedsLibtorchsCudaLibrary) {
  if (torch::cuda::is_available()) GTEST_SKIP() << "a GPU is here";
  try {
    cuda_module();
    ADD_FAILURE() << "loaded without libtorch_cuda.so";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("libnestvit_cuda.so"));
  }
}

// Where libtorch's CUDA library is at hand, with or without a GPU (NESTVIT_TORCH_LIB names its
// folder): nothing that the module refers to is missing, and its parts answer.
TEST(CudaModule, LoadsBesideLibtorchsCudaLibrary) {
  const char* folder = std::getenv("NESTVIT_TORCH_LIB");
  if (!folder) GTEST_SKIP() << "NESTVIT_TORCH_LIB is not set";
  if (!fs::exists(fs::read_symlink("/proc/self/exe").parent_path() / "libnestvit_cuda.so"))
    GTEST_SKIP() << "built without CUDA's toolkit";
  const std::string library = std::string(folder) + "/libtorch_cuda.so";
  ASSERT_NE(dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
  const CudaModule& module = cuda_module();
  ASSERT_TRUE(module.nccl && module.bus_address && module.make_graph);
  if (torch::cuda::is_available()) return;
  c10d::TCPStoreOptions options;
  options.port = 0;
  options.isServer = true;
  options.waitWorkers = false;
  const auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  try {
    module.nccl(store, 0, 1, std::chrono::seconds(1));
    ADD_FAILURE() << "NCCL without a GPU";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no GPUs found"));
  }
  EXPECT_THROW(module.bus_address(torch::Device(torch::kCUDA, 0)), c10::Error);
}

}  // namespace
}  // namespace nestvit::train

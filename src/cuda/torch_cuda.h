// The only file that includes libtorch's CUDA headers.
#pragma once

#include "train/group/c10d.h"

#define USE_C10D_NCCL

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wconversion"
#include <ATen/cuda/CUDAContextLight.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#pragma GCC diagnostic pop

// Options of the process group hold NCCL's configuration by value, so it must be as large as in
// libtorch's library: 80 bytes, of nvidia-nccl-cu13 2.28, for libtorch 2.11.
static_assert(NCCL_MAJOR == 2 && NCCL_MINOR == 28 && sizeof(ncclConfig_t) == 80,
              "libtorch 2.11 is built with NCCL 2.28");
static_assert(TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 11,
              "another libtorch: see which NCCL it is built with, and which CUDA");
static_assert(CUDART_VERSION / 1000 == 13, "libtorch 2.11's wheel is built with CUDA 13");

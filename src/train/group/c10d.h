// The only file that includes libtorch's c10d: stores, process groups, the reducer of gradients.
#pragma once

#include "train/torch.h"

// The parts that the wheel was built with; without these its headers leave them out.
#define USE_DISTRIBUTED
#define USE_C10D_GLOO

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wconversion"
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#pragma GCC diagnostic pop

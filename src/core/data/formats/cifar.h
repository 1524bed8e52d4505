// CIFAR-10 and CIFAR-100, binary version, as cs.toronto.edu/~kriz/cifar.html describes it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/dataset.h"

namespace nestvit {

enum class CifarKind { kCifar10, kCifar100 };

// Records: 1 label byte (CIFAR-100: coarse, then fine), then the 32 x 32 image as red, green and
// blue planes. Checks size and labels; returns the number of records. Throws Error.
int64_t check_cifar(std::span<const std::byte> file, CifarKind kind, const std::string& origin);

// Record `index` of a checked file: image (RGB), label (fine) set; name is the caller's.
Sample cifar_sample(std::span<const std::byte> file, CifarKind kind, int64_t index);

// The folder with a training or test file of this kind: root or its usual sub-folder.
std::optional<std::filesystem::path> find_cifar(const std::filesystem::path& root, CifarKind kind);
// Also true of the versions for Python and MATLAB, for which open_cifar() throws an Error that says
// so.
bool looks_like_cifar(const std::filesystem::path& root, CifarKind kind);
std::unique_ptr<Dataset> open_cifar(const DatasetOptions& options, CifarKind kind);

}  // namespace nestvit

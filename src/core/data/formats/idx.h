// IDX files (MNIST, Fashion-MNIST), plain or gzip, as yann.lecun.com/exdb/mnist describes them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nestvit {

// An array of unsigned bytes with `dims`, row-major. `bytes` points into `owner` (a mapping or
// inflated memory).
struct IdxArray {
  std::vector<int64_t> dims;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

// `rank` is the number of dimensions that is expected: 3 for images, 1 for labels. The content
// decides whether it is gzip. Throws Error: another magic number or rank, sizes that do not fit the
// file, broken or truncated gzip. A plain array views `file`, which must then outlive it.
IdxArray parse_idx(std::span<const std::byte> file, int rank, const std::string& origin);
IdxArray read_idx(const std::filesystem::path& path, int rank);

// The folder that holds train- or t10k-images: root, or one below it ("raw", "FashionMNIST/raw",
// ...).
std::optional<std::filesystem::path> find_idx(const std::filesystem::path& root);

// `fashion`: Fashion-MNIST is what the user asked for; otherwise its class names are used when the
// path says so.
std::unique_ptr<Dataset> open_idx(const DatasetOptions& options, bool fashion);

// Where Debian's package dataset-fashion-mnist puts it.
std::filesystem::path system_fashion_mnist();

}  // namespace nestvit

// Unpacks downloads as if their author meant harm: no absolute names, no "..", no links or devices,
// and no more bytes and files than the caller expects.
#pragma once

#include <cstdint>
#include <filesystem>

namespace nestvit {

struct ArchiveLimits {
  uint64_t bytes = 0;  // unpacked
  uint64_t entries = 0;
};

// A .tar.gz into `folder`, which must not be there yet and appears whole or not at all. Its one top
// folder is left out: "cifar/data.bin" becomes folder/data.bin. Throws Error.
void unpack_tar_gz(const std::filesystem::path& archive, const std::filesystem::path& folder,
                   const ArchiveLimits& limits);

// A single .gz, whose content has exactly `bytes` bytes, into `file`. Throws Error and leaves
// nothing.
void unpack_gz(const std::filesystem::path& archive, const std::filesystem::path& file,
               uint64_t bytes);

}  // namespace nestvit

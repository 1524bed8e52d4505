// The headers of a tar file: where its members lie. Reads the names and sizes of the ustar, GNU and
// pax forms; unpacks nothing, and skips links and folders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace nestvit {

inline constexpr uint64_t kTarBlock = 512;

struct TarMember {
  std::string name;     // with its folders
  uint64_t offset = 0;  // of its bytes
  uint64_t size = 0;
};

// each(member) for every regular file, in order. Touches headers only. Throws Error naming `path`
// and the byte: a header with a wrong checksum, a size that is not a number or goes beyond
// the file, a name of more than 64 KiB; for a gzipped file, what to do.
void read_tar(std::span<const std::byte> file, const std::string& path,
              const std::function<void(const TarMember&)>& each);

// The name in the header before a member's bytes, as far as that holds it: for messages.
std::string tar_name_before(std::span<const std::byte> file, uint64_t offset);

}  // namespace nestvit

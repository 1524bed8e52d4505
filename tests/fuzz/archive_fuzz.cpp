// libFuzzer: any bytes as a downloaded archive. Nothing but plain files and folders may come out,
// within the limits.
#include <nestvit/error.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "hub/archive.h"

namespace fs = std::filesystem;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr nestvit::ArchiveLimits kLimits = {1 << 16, 8};
  static const fs::path folder =
      fs::temp_directory_path() / ("nestvit-archive-fuzz-" + std::to_string(getpid()));
  fs::create_directories(folder);
  std::ofstream(folder / "in", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    nestvit::unpack_tar_gz(folder / "in", folder / "out", kLimits);
    uint64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "out")) {
      if (entry.is_symlink() || (!entry.is_directory() && !entry.is_regular_file())) std::abort();
      if (entry.is_regular_file()) bytes += entry.file_size();
    }
    if (bytes > kLimits.bytes) std::abort();
  } catch (const nestvit::Error&) {
    if (fs::exists(folder / "out")) std::abort();
  }
  try {
    nestvit::unpack_gz(folder / "in", folder / "out-file", 100);
  } catch (const nestvit::Error&) {
    if (fs::exists(folder / "out-file")) std::abort();
  }
  fs::remove_all(folder);
  return 0;
}

// Fuzzes tar headers and brace patterns: any bytes give members that lie inside the file, or an
// Error.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>

#include "data/shards/tar.h"
#include "data/shards/webdataset.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  try {
    nestvit::read_tar(bytes, "fuzz", [&](const nestvit::TarMember& m) {
      if (m.offset > size || m.size > size - m.offset) std::abort();
      nestvit::tar_name_before(bytes, m.offset);
    });
  } catch (const nestvit::Error&) {
  }
  if (size > 64) return 0;
  try {
    nestvit::expand_braces({reinterpret_cast<const char*>(data), size});
  } catch (const nestvit::Error&) {
  }
  return 0;
}

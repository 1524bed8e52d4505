// Fuzzes checksums.json: any text is a list of files of the folder itself, or an Error.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>

#include "run/record/checksums.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    for (const nestvit::FileSum& sum : nestvit::parse_checksums(text, "fuzz")) {
      const std::filesystem::path path = std::filesystem::path("folder") / sum.name;
      if (path.lexically_normal().parent_path() != "folder") std::abort();
    }
  } catch (const nestvit::Error&) {
  }
  return 0;
}

// Fuzzes the IDX reader: any bytes give an array that fits them, or an Error.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>

#include "data/formats/idx.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  for (int rank : {1, 3}) {
    try {
      const auto array = nestvit::parse_idx(bytes, rank, "fuzz");
      int64_t count = 1;
      for (int64_t dim : array.dims) count *= dim;
      if (count != static_cast<int64_t>(array.bytes.size())) std::abort();
    } catch (const nestvit::Error&) {
    }
  }
  return 0;
}

// Fuzzes the CIFAR readers: any bytes give records that can all be read, or an Error.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>

#include "data/formats/cifar.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  for (auto kind : {nestvit::CifarKind::kCifar10, nestvit::CifarKind::kCifar100}) {
    try {
      const int64_t count = nestvit::check_cifar(bytes, kind, "fuzz");
      for (int64_t i = 0; i < count; ++i) {
        const int label = nestvit::cifar_sample(bytes, kind, i).label;
        if (label < 0 || label > 99) std::abort();
      }
    } catch (const nestvit::Error&) {
    }
  }
  return 0;
}

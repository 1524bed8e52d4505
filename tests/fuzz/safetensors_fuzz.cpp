// libFuzzer: any bytes as a safetensors file. Whatever is accepted must be readable to its last
// value, and 8-bit integers must have scales; any of it may be compared with what config.json says.
#include <nestvit/error.h>

#include <cstdint>

#include "weights/model_dir.h"
#include "weights/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto owner = std::make_shared<const std::vector<uint8_t>>(data, data + size);
  try {
    nestvit::Metadata metadata;
    const auto tensors =
        nestvit::parse_safetensors(std::as_bytes(std::span(*owner)), owner, "fuzz", &metadata);
    for (const auto& [name, tensor] : tensors) tensor.to_f32();
    nestvit::as_f32(tensors, "fuzz");
    nestvit::check_storage(tensors, nestvit::NumberType::kInt8, "fuzz");
  } catch (const nestvit::Error&) {
  }
  return 0;
}

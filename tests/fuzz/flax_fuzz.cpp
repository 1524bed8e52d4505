// libFuzzer: any bytes as a flax checkpoint. Whatever is accepted must be readable to its last
// value, and what network it is must be found out or refused.
#include <nestvit/error.h>

#include <cstdint>

#include "weights/flax/checkpoint.h"
#include "weights/flax/names.h"
#include "weights/identify.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto owner = std::make_shared<const std::vector<uint8_t>>(data, data + size);
  try {
    const auto checkpoint =
        nestvit::parse_flax_checkpoint(std::as_bytes(std::span(*owner)), owner, "fuzz");
    for (const auto& [name, tensor] : checkpoint.params) tensor.to_f32();
    const auto found = nestvit::identify(checkpoint.params, {}, "fuzz");
    nestvit::from_flax(checkpoint.params, checkpoint.batch_stats, found.config, "fuzz");
  } catch (const nestvit::Error&) {
  }
  return 0;
}

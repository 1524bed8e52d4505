// libFuzzer: any bytes as config.json. Whatever is accepted must be written and read back the same.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>

#include "weights/config_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const nestvit::LoadedModel model = nestvit::parse_config(text, "fuzz");
    if (model.labels.size() > 4096) return 0;  // legal, and slow to write
    const auto storage = model.storage.value_or(nestvit::NumberType::kF32);
    const nestvit::LoadedModel again =
        nestvit::parse_config(nestvit::config_text(model, storage), "again");
    if (again.storage != model.storage || !(again.config == model.config) ||
        !(again.preprocessing == model.preprocessing) || again.labels != model.labels)
      std::abort();
  } catch (const nestvit::Error&) {
  }
  return 0;
}

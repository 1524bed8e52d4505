// Fuzzes state.json: any text is a state that is written and read back the same, or an Error.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>

#include "run/record/state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const std::string written = nestvit::state_json(nestvit::parse_state(text, "fuzz"));
    if (nestvit::state_json(nestvit::parse_state(written, "again")) != written) std::abort();
  } catch (const nestvit::Error&) {
  }
  return 0;
}

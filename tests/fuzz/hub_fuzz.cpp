// libFuzzer: any bytes as what servers answer with. Names that come out must be safe in a path.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>

#include "hub/sources/answers.h"

namespace {

bool is_safe(const std::string& name) {
  return !name.empty() && name.front() != '.' && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

template <class Read>
void attempt(Read read) {
  try {
    read();
  } catch (const nestvit::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  attempt([&] {
    if (!is_safe(nestvit::parse_hub_answer(text, "fuzz").commit)) std::abort();
  });
  attempt([&] {
    for (const std::string& part : nestvit::parse_parts(text, "fuzz"))
      if (!is_safe(part)) std::abort();
  });
  attempt([&] { nestvit::parse_gcs_page(text, "fuzz"); });
  attempt([&] { nestvit::parse_gcs_object(text, "fuzz"); });
  attempt([&] {
    if (!is_safe(nestvit::newest_in(text, "fuzz"))) std::abort();
  });
  if (!is_safe(nestvit::file_name_of(text, "")) ||
      !is_safe(nestvit::file_name_of("https://h/x", text)))
    std::abort();
  return 0;
}

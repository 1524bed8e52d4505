// Fuzzes the parsers of CSV lists and class maps: any text gives rows, or an Error.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>

#include "data/classes.h"
#include "data/formats/list_rows.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    for (const auto& row :
         nestvit::parse_list(text, nestvit::list_delimiter("fuzz.csv", text), "fuzz.csv"))
      if (row.path.empty() || row.label.empty() || row.line < 1) std::abort();
  } catch (const nestvit::Error&) {
  }
  try {
    const auto map = nestvit::parse_class_map(text, "fuzz.txt");
    if (map.keys.empty() || map.keys.size() != map.names.size()) std::abort();
  } catch (const nestvit::Error&) {
  }
  return 0;
}

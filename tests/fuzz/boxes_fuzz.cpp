// Fuzzes the reader of boxes: any text gives boxes within bounds that are found again, or an Error.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "explain/score/boxes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const auto table = nestvit::BoxTable::parse(text, "fuzz.txt");
    if (table.boxes() < table.images()) std::abort();
    const std::string path = text.substr(0, text.find(','));
    for (const nestvit::ObjectBox& box : table.find(path))
      if (!(box.x0 >= 0 && box.x0 <= box.x1 && box.x1 <= nestvit::BoxTable::kMaxCoordinate &&
            box.y0 >= 0 && box.y0 <= box.y1 && box.y1 <= nestvit::BoxTable::kMaxCoordinate))
        std::abort();
    // The first line's path, as written, is in the table.
    const std::string line = text.substr(0, text.find('\n'));
    size_t end = line.size();
    for (int k = 0; k < 4 && end != std::string::npos && end > 0; ++k)
      end = line.rfind(',', end - 1);
    if (!line.empty() && line != "\r" && !line.starts_with("\xEF\xBB\xBF") &&
        (end == std::string::npos || table.find(line.substr(0, end)).empty()))
      std::abort();
    table.find(text);
  } catch (const nestvit::Error&) {
  }
  return 0;
}

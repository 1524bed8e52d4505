// Any bytes through probe_image, decode_image and decode_window: only nestvit::Error may come out.
#include <nestvit/error.h>

#include <algorithm>
#include <span>

#include "image/codecs/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  nestvit::DecodeOptions options;
  options.max_pixels = 1 << 18;
  options.exif_orientation = true;
  if (size % 2) options.background = {1, 2, 3};
  if (size % 3 == 0) options.channels = 1;
  try {
    const auto info = nestvit::probe_image(bytes, "fuzz");
    // A window that depends on the input, so that its rows and columns are explored too.
    const int y = size ? data[size - 1] % std::max(info.height, 1) : 0;
    const int x = size ? data[size / 2] % std::max(info.width, 1) : 0;
    const nestvit::Box window{y, x, std::max((info.height - y) / 2, 1),
                              std::max((info.width - x) / 2, 1)};
    try {
      nestvit::decode_window(bytes, window, options, "fuzz");
      options.shrink_to = 4;
      nestvit::decode_window(bytes, window, options, "fuzz");
    } catch (const nestvit::Error&) {
    }
    nestvit::decode_image(bytes, options, "fuzz");
  } catch (const nestvit::Error&) {
  }
  return 0;
}

// The decoders behind codec.h, one file per format, and their common checks. Each library's header
// stays in its file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "image/codecs/codec.h"
#include "image/image.h"

namespace nestvit {

struct StoredSize {
  int height = 0;
  int width = 0;
};

// All give RGB in stored orientation, and throw Error naming `origin`.
StoredSize jpeg_size(std::span<const std::byte> bytes, const std::string& origin);
StoredSize png_size(std::span<const std::byte> bytes, const std::string& origin);
StoredSize webp_size(std::span<const std::byte> bytes, const std::string& origin);
// `window` may be null: the whole image.
Image decode_jpeg(std::span<const std::byte> bytes, const DecodeOptions& options, const Box* window,
                  const std::string& origin);
Image decode_png(std::span<const std::byte> bytes, const DecodeOptions& options,
                 const std::string& origin);
Image decode_webp(std::span<const std::byte> bytes, const DecodeOptions& options,
                  const std::string& origin);

// EXIF orientation of a JPEG, PNG or WebP, 1 to 8. Broken metadata counts as none: it must not cost
// the picture.
int exif_orientation(std::span<const std::byte> bytes);
// The picture as the camera was held: what viewers show for `orientation`.
Image oriented(const Image& image, int orientation);

// Throws Error when the size is empty or above options.max_pixels. Call before taking memory for
// pixels.
void check_pixels(StoredSize size, const DecodeOptions& options, const std::string& origin);
// Throws Error when `window` is empty or not inside the image.
void check_window(const Box& window, StoredSize size, const std::string& origin);
[[noreturn]] void fail_decoding(const std::string& format, const std::string& why,
                                const std::string& origin);
// RGBA laid over one colour, rounded as Pillow's paste does.
Image over_background(StoredSize size, std::span<const uint8_t> rgba,
                      const std::array<uint8_t, 3>& background);

}  // namespace nestvit

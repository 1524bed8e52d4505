// EXIF orientation: finding it in JPEG, PNG and WebP, and turning the picture.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "image/codecs/codecs.h"

namespace nestvit {
namespace {

using Bytes = std::span<const std::byte>;

// Beyond the end everything reads as 0, which is not a marker, tag or size in any structure below.
uint32_t number(Bytes bytes, size_t at, size_t count, bool big) {
  if (at > bytes.size() || count > bytes.size() - at) return 0;
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i)
    value = value << 8 | static_cast<uint32_t>(bytes[at + (big ? i : count - 1 - i)]);
  return value;
}

bool has_text(Bytes bytes, size_t at, std::string_view text) {
  return at <= bytes.size() && text.size() <= bytes.size() - at &&
         std::memcmp(bytes.data() + at, text.data(), text.size()) == 0;
}

Bytes part(Bytes bytes, size_t at, size_t count) {
  if (at > bytes.size()) return {};
  return bytes.subspan(at, std::min(count, bytes.size() - at));
}

constexpr std::string_view kExifMark("Exif\0\0", 6);

Bytes exif_of_jpeg(Bytes bytes) {
  for (size_t at = 2; number(bytes, at, 1, true) == 0xFF;) {
    const uint32_t marker = number(bytes, at + 1, 1, true);
    if (marker == 0xFF) {  // padding
      ++at;
      continue;
    }
    if (marker == 0xDA || marker == 0xD9) break;  // pixels, end
    const uint32_t length = number(bytes, at + 2, 2, true);
    if (length < 2) break;
    if (marker == 0xE1 && has_text(bytes, at + 4, kExifMark))
      return part(bytes, at + 4, length - 2);
    at += 2 + length;
  }
  return {};
}

Bytes exif_of_png(Bytes bytes) {
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const uint32_t length = number(bytes, at, 4, true);
    if (has_text(bytes, at + 4, "eXIf")) return part(bytes, at + 8, length);
    at += size_t{12} + length;
  }
  return {};
}

Bytes exif_of_webp(Bytes bytes) {
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const uint32_t length = number(bytes, at + 4, 4, false);
    if (has_text(bytes, at, "EXIF")) return part(bytes, at + 8, length);
    at += size_t{8} + length + (length & 1);
  }
  return {};
}

// EXIF is a TIFF file: byte order, 42, offset of the first directory, whose entries are 12 bytes
// each.
int orientation_of_tiff(Bytes bytes) {
  if (has_text(bytes, 0, kExifMark)) bytes = bytes.subspan(kExifMark.size());
  const bool big = has_text(bytes, 0, "MM");
  if (!big && !has_text(bytes, 0, "II")) return 1;
  if (number(bytes, 2, 2, big) != 42) return 1;
  const size_t directory = number(bytes, 4, 4, big);
  const uint32_t entries = number(bytes, directory, 2, big);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    constexpr uint32_t kOrientation = 0x0112, kShort = 3;
    if (number(bytes, entry, 2, big) != kOrientation) continue;
    if (number(bytes, entry + 2, 2, big) != kShort) return 1;
    const uint32_t value = number(bytes, entry + 8, 2, big);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace

int exif_orientation(Bytes bytes) {
  if (has_text(bytes, 0, "\xFF\xD8")) return orientation_of_tiff(exif_of_jpeg(bytes));
  if (has_text(bytes, 0, "\x89PNG")) return orientation_of_tiff(exif_of_png(bytes));
  if (has_text(bytes, 0, "RIFF")) return orientation_of_tiff(exif_of_webp(bytes));
  return 1;
}

Image oriented(const Image& image, int orientation) {
  NESTVIT_CHECK(orientation >= 1 && orientation <= 8);
  if (orientation == 1) return image;
  const bool transposed = orientation >= 5;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  Image result{transposed ? image.width : image.height, transposed ? image.height : image.width,
               image.channels, std::vector<uint8_t>(image.pixels.size())};
  uint8_t* to = result.pixels.data();
  for (int y = 0; y < result.height; ++y)
    for (int x = 0; x < result.width; ++x) {
      const int row = transposed ? x : y;
      const int column = transposed ? y : x;
      const size_t from =
          static_cast<size_t>(from_bottom ? image.height - 1 - row : row) * image.width +
          (from_right ? image.width - 1 - column : column);
      for (int c = 0; c < image.channels; ++c) *to++ = image.pixels[from * image.channels + c];
    }
  return result;
}

}  // namespace nestvit

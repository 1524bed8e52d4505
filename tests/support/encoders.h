// Real files of every kind, made in memory by the libraries' own encoders, for the codec tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "image/image.h"

namespace nestvit::testing {

using Bytes = std::vector<std::byte>;

struct JpegKind {
  enum Colour { kGrey, kYcc, kRgb, kInks, kAdobeInks, kAdobeYcck } colour = kYcc;
  bool progressive = false;
  bool subsampled = true;  // 4:2:0, for kYcc
  int quality = 90;
  int restart_rows = 0;
};

// `samples` has 1, 3 or 4 values per pixel, as the colour needs.
Bytes make_jpeg(int height, int width, const std::vector<uint8_t>& samples, const JpegKind& kind);

struct PngKind {
  int colour_type = 2;  // 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA
  int bit_depth = 8;
  bool interlaced = false;
  std::vector<uint8_t> palette = {};       // RGB entries
  std::vector<uint8_t> transparency = {};  // of palette entries
};

// `rows` as PNG stores them: packed below 8 bits, big-endian at 16.
Bytes make_png(int height, int width, const std::vector<uint8_t>& rows, const PngKind& kind);

Bytes make_webp(int height, int width, const std::vector<uint8_t>& rgba, bool lossless);

// The file with an EXIF block that says `orientation`: APP1 in a JPEG, eXIf in a PNG, VP8X and EXIF
// in a WebP.
Bytes with_exif(const Bytes& file, int orientation, bool big_endian);

// Smooth colours that differ in every corner and channel.
Image gradient(int height, int width, int channels = 3);
std::vector<uint8_t> with_alpha(const Image& image);  // opaque left, transparent right

}  // namespace nestvit::testing

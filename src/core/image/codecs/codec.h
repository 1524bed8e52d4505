// Reading JPEG, PNG and WebP, writing JPEG and PNG. Formats are recognised by content, never by
// extension.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "image/image.h"
#include "model/preprocessing.h"

namespace nestvit {

struct DecodeOptions {
  Dct dct = Dct::kAccurate;
  bool exif_orientation = false;
  // The colour that alpha is laid over; unset: alpha is dropped.
  std::optional<std::array<uint8_t, 3>> background;
  int channels = 3;  // 1: luma (ITU-R 601, Pillow's "L")
  // decode_window() of a JPEG may return the window at 1/2, 1/4 or 1/8 of its size while both sides
  // stay at least this long: by the DCT of fewer coefficients, which is faster and as smooth as
  // averaging. 0: never.
  int shrink_to = 0;
  int64_t max_pixels = 179'000'000;  // above: Error, before any memory is taken (Pillow's limit)
};

DecodeOptions decode_options(const Preprocessing& preprocessing);

struct ImageInfo {
  std::string format;  // "jpeg", "png", "webp"
  int height = 0;      // as stored, before EXIF orientation
  int width = 0;
  int orientation = 1;  // EXIF, 1 to 8
};

// Throw Error naming `origin`: not an image, truncated, broken, too large. Truncated data never
// passes as an image. Grey, CMYK (also Adobe's inverted), 16-bit, palette and alpha all become
// 8-bit RGB (or luma) as Pillow makes them. Exceptions: CMYK under the fast DCT is converted as
// TensorFlow does; 16-bit grey keeps its high byte (Pillow clips).
ImageInfo probe_image(std::span<const std::byte> bytes, const std::string& origin);
Image decode_image(std::span<const std::byte> bytes, const DecodeOptions& options,
                   const std::string& origin);
Image read_image(const std::filesystem::path& path, const DecodeOptions& options);

// Only `window` (in stored coordinates) of a JPEG, as TensorFlow's decode_and_crop_jpeg makes it:
// chroma is upsampled inside the window's own iMCU range. Rows below the window are not decoded.
// Other formats: decode, then crop. Only options.shrink_to makes the result smaller than the
// window. Orientation is not applied.
Image decode_window(std::span<const std::byte> bytes, const Box& window,
                    const DecodeOptions& options, const std::string& origin);

// As TensorFlow's encode_jpeg: 4:2:0 chroma, accurate DCT. Throws Error when the image is empty or
// has sides above 65,500.
std::vector<std::byte> encode_jpeg(const Image& image, int quality = 95);
std::vector<std::byte> encode_png(const Image& image);
void write_png(const std::filesystem::path& path, const Image& image);

Image to_channels(const Image& image, int channels);  // grey to RGB and back (luma)

}  // namespace nestvit

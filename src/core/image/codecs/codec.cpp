// Recognises formats, makes the checks that all formats share, and turns and greys decoded images.
#include "image/codecs/codec.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/file.h"
#include "image/codecs/codecs.h"
#include "image/resize.h"

namespace nestvit {
namespace {

// Pillow's limit is in pixels; this one keeps a wrong path (a video, a disk image) from filling the
// memory.
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

enum class Format { kJpeg, kPng, kWebp };

bool starts_with(std::span<const std::byte> bytes, std::string_view text, size_t at = 0) {
  return bytes.size() >= at + text.size() &&
         std::memcmp(bytes.data() + at, text.data(), text.size()) == 0;
}

std::string describe(std::span<const std::byte> bytes) {
  if (bytes.empty()) return "an empty file";
  if (starts_with(bytes, "GIF8")) return "a GIF";
  if (starts_with(bytes, "BM")) return "a BMP";
  if (starts_with(bytes, "II*") || starts_with(bytes, "MM")) return "a TIFF";
  if (starts_with(bytes, "ftyp", 4)) return "an AVIF, HEIC or video file";
  std::string hex;
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 8); ++i)
    hex += fmt::format(" {:02x}", static_cast<unsigned>(bytes[i]));
  return "a file that starts with" + hex;
}

Format format_of(std::span<const std::byte> bytes, const std::string& origin) {
  if (starts_with(bytes, "\xFF\xD8\xFF")) return Format::kJpeg;
  if (starts_with(bytes, "\x89PNG\r\n\x1A\n")) return Format::kPng;
  if (starts_with(bytes, "RIFF") && starts_with(bytes, "WEBP", 8)) return Format::kWebp;
  throw Error(
      fmt::format("{}: got {}, expected a JPEG, PNG or WebP image", origin, describe(bytes)),
      bytes.empty() ? "copy it again" : "convert it to JPEG or PNG");
}

Image decode_stored(std::span<const std::byte> bytes, Format format, const DecodeOptions& options,
                    const std::string& origin) {
  switch (format) {
    case Format::kJpeg:
      return decode_jpeg(bytes, options, nullptr, origin);
    case Format::kPng:
      return decode_png(bytes, options, origin);
    case Format::kWebp:
      break;
  }
  return decode_webp(bytes, options, origin);
}

Image with_channels(Image image, int channels) {
  return image.channels == channels ? std::move(image) : to_channels(image, channels);
}

}  // namespace

DecodeOptions decode_options(const Preprocessing& preprocessing) {
  DecodeOptions options;
  options.dct = preprocessing.dct;
  options.exif_orientation = preprocessing.exif_orientation;
  options.background = preprocessing.background;
  options.channels = preprocessing.channels;
  return options;
}

ImageInfo probe_image(std::span<const std::byte> bytes, const std::string& origin) {
  ImageInfo info;
  StoredSize size;
  switch (format_of(bytes, origin)) {
    case Format::kJpeg:
      info.format = "jpeg";
      size = jpeg_size(bytes, origin);
      break;
    case Format::kPng:
      info.format = "png";
      size = png_size(bytes, origin);
      break;
    case Format::kWebp:
      info.format = "webp";
      size = webp_size(bytes, origin);
      break;
  }
  info.height = size.height;
  info.width = size.width;
  info.orientation = exif_orientation(bytes);
  return info;
}

Image decode_image(std::span<const std::byte> bytes, const DecodeOptions& options,
                   const std::string& origin) {
  Image image = decode_stored(bytes, format_of(bytes, origin), options, origin);
  const int orientation = options.exif_orientation ? exif_orientation(bytes) : 1;
  if (orientation != 1) image = oriented(image, orientation);
  return with_channels(std::move(image), options.channels);
}

Image read_image(const std::filesystem::path& path, const DecodeOptions& options) {
  return decode_image(read_file(path, kMaxFileBytes), options, path.string());
}

Image decode_window(std::span<const std::byte> bytes, const Box& window,
                    const DecodeOptions& options, const std::string& origin) {
  const Format format = format_of(bytes, origin);
  Image image;
  if (format == Format::kJpeg) {
    image = decode_jpeg(bytes, options, &window, origin);
  } else {
    image = decode_stored(bytes, format, options, origin);
    check_window(window, {image.height, image.width}, origin);
    image = crop(image, window);
  }
  return with_channels(std::move(image), options.channels);
}

Image to_channels(const Image& image, int channels) {
  NESTVIT_CHECK((channels == 1 || channels == 3) && (image.channels == 1 || image.channels == 3));
  if (image.channels == channels) return image;
  const size_t count = static_cast<size_t>(image.height) * image.width;
  Image result{image.height, image.width, channels, std::vector<uint8_t>(count * channels)};
  const uint8_t* from = image.pixels.data();
  uint8_t* to = result.pixels.data();
  if (channels == 3) {
    for (size_t i = 0; i < count; ++i) to[3 * i] = to[3 * i + 1] = to[3 * i + 2] = from[i];
  } else {
    // ITU-R 601 in 16-bit fixed point, as Pillow's convert("L").
    for (size_t i = 0; i < count; ++i)
      to[i] = static_cast<uint8_t>(
          (from[3 * i] * 19595 + from[3 * i + 1] * 38470 + from[3 * i + 2] * 7471 + 0x8000) >> 16);
  }
  return result;
}

void check_pixels(StoredSize size, const DecodeOptions& options, const std::string& origin) {
  const int64_t pixels = int64_t{size.height} * size.width;
  if (size.height < 1 || size.width < 1)
    throw Error(fmt::format("{}: the image is empty: {}x{}", origin, size.height, size.width));
  if (pixels > options.max_pixels)
    throw Error(fmt::format("{}: the image is too large: {}x{} are {} pixels, expected at most {}",
                            origin, size.height, size.width, pixels, options.max_pixels),
                "make it smaller first");
}

void check_window(const Box& window, StoredSize size, const std::string& origin) {
  if (window.x < 0 || window.y < 0 || window.height < 1 || window.width < 1 ||
      window.height > size.height - window.y || window.width > size.width - window.x)
    throw Error(fmt::format("{}: window {}x{} at ({}, {}) is not inside the image of {}x{}", origin,
                            window.height, window.width, window.y, window.x, size.height,
                            size.width));
}

void fail_decoding(const std::string& format, const std::string& why, const std::string& origin) {
  throw Error(fmt::format("{}: broken {} image: {}", origin, format, why),
              "copy it again, or remove it");
}

Image over_background(StoredSize size, std::span<const uint8_t> rgba,
                      const std::array<uint8_t, 3>& background) {
  Image image{size.height, size.width, 3, std::vector<uint8_t>(rgba.size() / 4 * 3)};
  for (size_t i = 0; i < rgba.size() / 4; ++i) {
    const int alpha = rgba[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) {
      const int sum = background[c] * (255 - alpha) + rgba[4 * i + c] * alpha + 128;
      image.pixels[3 * i + c] = static_cast<uint8_t>((sum + (sum >> 8)) >> 8);  // divides by 255
    }
  }
  return image;
}

}  // namespace nestvit

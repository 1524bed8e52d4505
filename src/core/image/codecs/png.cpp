// PNG by libspng: reading every kind as 8-bit RGB, and writing.
#include <fmt/format.h>
#include <nestvit/error.h>
#include <spng.h>

#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "base/file.h"
#include "image/codecs/codecs.h"

namespace nestvit {
namespace {

// The most that profiles and texts may take when inflated.
constexpr size_t kMetadataBytes = 64 << 20;

struct FreeContext {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};
using Context = std::unique_ptr<spng_ctx, FreeContext>;

void check(int status, const std::string& origin) {
  if (status) fail_decoding("PNG", spng_strerror(status), origin);
}

Context open(std::span<const std::byte> bytes, const std::string& origin) {
  Context context(spng_ctx_new(0));
  if (!context) fail_decoding("PNG", "out of memory", origin);
  check(spng_set_crc_action(context.get(), SPNG_CRC_ERROR, SPNG_CRC_DISCARD), origin);
  check(spng_set_chunk_limits(context.get(), bytes.size(), kMetadataBytes), origin);
  check(spng_set_png_buffer(context.get(), bytes.data(), bytes.size()), origin);
  return context;
}

StoredSize header_size(spng_ctx* context, const std::string& origin) {
  spng_ihdr header{};
  check(spng_get_ihdr(context, &header), origin);
  return {static_cast<int>(header.height), static_cast<int>(header.width)};
}

// libspng does not notice that the last chunk's checksum is missing.
void check_end(std::span<const std::byte> bytes, const std::string& origin) {
  constexpr std::string_view kEnd("\0\0\0\0IEND\xAE\x42\x60\x82", 12);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  if (std::string_view(text, bytes.size()).rfind(kEnd) == std::string_view::npos)
    fail_decoding("PNG", "the end is missing", origin);
}

}  // namespace

StoredSize png_size(std::span<const std::byte> bytes, const std::string& origin) {
  return header_size(open(bytes, origin).get(), origin);
}

// 16-bit samples keep their high byte. (Pillow does so for colour, but clips 16-bit grey at 255,
// which whitens the picture; TensorFlow keeps the high byte of both.) Gamma is not applied: neither
// peer does.
Image decode_png(std::span<const std::byte> bytes, const DecodeOptions& options,
                 const std::string& origin) {
  const Context context = open(bytes, origin);
  const StoredSize size = header_size(context.get(), origin);
  check_pixels(size, options, origin);
  const spng_format format = options.background ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
  size_t length = 0;
  check(spng_decoded_image_size(context.get(), format, &length), origin);
  std::vector<uint8_t> pixels(length);
  const int flags = options.background ? SPNG_DECODE_TRNS : 0;
  check(spng_decode_image(context.get(), pixels.data(), length, format, flags), origin);
  check(spng_decode_chunks(context.get()), origin);  // up to the end: notices a cut file
  check_end(bytes, origin);
  if (options.background) return over_background(size, pixels, *options.background);
  return {size.height, size.width, 3, std::move(pixels)};
}

std::vector<std::byte> encode_png(const Image& image) {
  NESTVIT_CHECK(image.height > 0 && image.width > 0 && image.pixels.size() == image.size());
  const Context context(spng_ctx_new(SPNG_CTX_ENCODER));
  const auto ok = [](int status) {
    if (status) throw Error(fmt::format("cannot write a PNG: {}", spng_strerror(status)));
  };
  if (!context) throw Error("cannot write a PNG: out of memory");
  ok(spng_set_option(context.get(), SPNG_ENCODE_TO_BUFFER, 1));
  spng_ihdr header{};
  header.height = static_cast<uint32_t>(image.height);
  header.width = static_cast<uint32_t>(image.width);
  header.bit_depth = 8;
  header.color_type = image.channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE : SPNG_COLOR_TYPE_TRUECOLOR;
  ok(spng_set_ihdr(context.get(), &header));
  ok(spng_encode_image(context.get(), image.pixels.data(), image.pixels.size(), SPNG_FMT_PNG,
                       SPNG_ENCODE_FINALIZE));
  size_t length = 0;
  int status = 0;
  const std::unique_ptr<void, decltype(&std::free)> data(
      spng_get_png_buffer(context.get(), &length, &status), std::free);
  ok(status);
  const auto* begin = static_cast<const std::byte*>(data.get());
  return {begin, begin + length};
}

void write_png(const std::filesystem::path& path, const Image& image) {
  write_file(path, encode_png(image));
}

}  // namespace nestvit

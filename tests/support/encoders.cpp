// Test files by libjpeg, libspng and libwebp; failures are bugs of the tests, so they throw.
#include "support/encoders.h"

#include <jpeglib.h>
#include <spng.h>
#include <webp/encode.h>
#include <webp/types.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace nestvit::testing {
namespace {

void check(bool ok) {
  if (!ok) throw std::logic_error("cannot make a test image");
}

Bytes copy(const void* data, size_t size) {
  const auto* begin = static_cast<const std::byte*>(data);
  return {begin, begin + size};
}

std::string number(uint32_t value, int count, bool big) {
  std::string text;
  for (int i = 0; i < count; ++i) text += static_cast<char>(value >> 8 * (big ? count - 1 - i : i));
  return text;
}

}  // namespace

Bytes make_jpeg(int height, int width, const std::vector<uint8_t>& samples, const JpegKind& kind) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &data, &size);
  info.image_height = static_cast<JDIMENSION>(height);
  info.image_width = static_cast<JDIMENSION>(width);
  const bool inks = kind.colour >= JpegKind::kInks;
  info.input_components = kind.colour == JpegKind::kGrey ? 1 : inks ? 4 : 3;
  info.in_color_space = kind.colour == JpegKind::kGrey ? JCS_GRAYSCALE : inks ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&info);
  if (kind.colour == JpegKind::kRgb) jpeg_set_colorspace(&info, JCS_RGB);
  if (kind.colour == JpegKind::kAdobeYcck) jpeg_set_colorspace(&info, JCS_YCCK);
  if (kind.colour == JpegKind::kInks) info.write_Adobe_marker = FALSE;
  if (!kind.subsampled || kind.colour != JpegKind::kYcc)
    for (int i = 0; i < info.num_components; ++i)
      info.comp_info[i].h_samp_factor = info.comp_info[i].v_samp_factor = 1;
  jpeg_set_quality(&info, kind.quality, TRUE);
  info.restart_in_rows = kind.restart_rows;
  if (kind.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  const size_t stride = static_cast<size_t>(width) * info.input_components;
  check(samples.size() == stride * height);
  for (int y = 0; y < height; ++y) {
    JSAMPROW row = const_cast<JSAMPROW>(samples.data() + y * stride);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  Bytes bytes = copy(data, size);
  std::free(data);
  return bytes;
}

Bytes make_png(int height, int width, const std::vector<uint8_t>& rows, const PngKind& kind) {
  spng_ctx* context = spng_ctx_new(SPNG_CTX_ENCODER);
  check(spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1) == 0);
  spng_ihdr header{};
  header.height = static_cast<uint32_t>(height);
  header.width = static_cast<uint32_t>(width);
  header.bit_depth = static_cast<uint8_t>(kind.bit_depth);
  header.color_type = static_cast<uint8_t>(kind.colour_type);
  header.interlace_method = kind.interlaced;
  check(spng_set_ihdr(context, &header) == 0);
  if (!kind.palette.empty()) {
    spng_plte palette{};
    palette.n_entries = static_cast<uint32_t>(kind.palette.size() / 3);
    for (uint32_t i = 0; i < palette.n_entries; ++i)
      palette.entries[i] = {kind.palette[3 * i], kind.palette[3 * i + 1], kind.palette[3 * i + 2],
                            255};
    check(spng_set_plte(context, &palette) == 0);
  }
  if (!kind.transparency.empty()) {
    spng_trns transparency{};
    transparency.n_type3_entries = static_cast<uint32_t>(kind.transparency.size());
    std::memcpy(transparency.type3_alpha, kind.transparency.data(), kind.transparency.size());
    check(spng_set_trns(context, &transparency) == 0);
  }
  check(spng_encode_image(context, rows.data(), rows.size(), SPNG_FMT_RAW, SPNG_ENCODE_FINALIZE) ==
        0);
  size_t size = 0;
  int status = 0;
  void* data = spng_get_png_buffer(context, &size, &status);
  check(data && status == 0);
  Bytes bytes = copy(data, size);
  std::free(data);
  spng_ctx_free(context);
  return bytes;
}

Bytes make_webp(int height, int width, const std::vector<uint8_t>& rgba, bool lossless) {
  uint8_t* data = nullptr;
  const size_t size = lossless
                          ? WebPEncodeLosslessRGBA(rgba.data(), width, height, width * 4, &data)
                          : WebPEncodeRGBA(rgba.data(), width, height, width * 4, 90, &data);
  check(size > 0);
  Bytes bytes = copy(data, size);
  WebPFree(data);
  return bytes;
}

Bytes with_exif(const Bytes& file, int orientation, bool big_endian) {
  const auto n = [&](uint32_t value, int count) { return number(value, count, big_endian); };
  const uint32_t value = static_cast<uint32_t>(orientation);
  // Two entries, so that finding the right one is tested: image width, orientation.
  const std::string tiff = (big_endian ? "MM" : "II") + n(42, 2) + n(8, 4) + n(2, 2) +
                           n(0x0100, 2) + n(4, 2) + n(1, 4) + n(77, 4) + n(0x0112, 2) + n(3, 2) +
                           n(1, 4) + n(value, 2) + n(0, 2) + n(0, 4);
  const std::string mark("Exif\0\0", 6);
  const std::string stored(reinterpret_cast<const char*>(file.data()), file.size());
  std::string result;
  if (file[0] == std::byte{0xFF}) {
    result = stored.substr(0, 2) + "\xFF\xE1" +
             number(static_cast<uint32_t>(tiff.size() + 8), 2, true) + mark + tiff +
             stored.substr(2);
  } else if (file[0] == std::byte{0x89}) {
    const size_t first = 8 + 25;  // signature, IHDR
    const std::string body = "eXIf" + tiff;
    const auto sum =
        crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
    result = stored.substr(0, first) + number(static_cast<uint32_t>(tiff.size()), 4, true) + body +
             number(static_cast<uint32_t>(sum), 4, true) + stored.substr(first);
  } else {
    // Only simple files (no VP8X yet). Lossless ones say their size behind a one-byte mark.
    check(std::memcmp(file.data() + 12, "VP8L", 4) == 0);
    uint32_t sizes = 0;
    for (int i = 3; i >= 0; --i) sizes = sizes << 8 | static_cast<uint32_t>(file[21 + i]);
    const std::string extended = "VP8X" + number(10, 4, false) + number(0x08, 4, false) +
                                 number(sizes & 0x3FFF, 3, false) +
                                 number(sizes >> 14 & 0x3FFF, 3, false);
    const std::string block = mark + tiff;
    const std::string exif = "EXIF" + number(static_cast<uint32_t>(block.size()), 4, false) + block;
    const size_t size = 4 + extended.size() + (file.size() - 12) + exif.size();
    result = "RIFF" + number(static_cast<uint32_t>(size), 4, false) + "WEBP" + extended +
             stored.substr(12) + exif;
  }
  return copy(result.data(), result.size());
}

Image gradient(int height, int width, int channels) {
  Image image{height, width, channels, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        image.pixels.push_back(static_cast<uint8_t>((c == 0   ? 230 * y / height
                                                     : c == 1 ? 230 * x / width
                                                              : 200 * (x + y) / (height + width)) +
                                                    10 * c));
  return image;
}

std::vector<uint8_t> with_alpha(const Image& image) {
  std::vector<uint8_t> rgba;
  for (size_t i = 0; i < image.pixels.size() / 3; ++i) {
    for (size_t c = 0; c < 3; ++c) rgba.push_back(image.pixels[3 * i + c]);
    const int x = static_cast<int>(i) % image.width;
    rgba.push_back(static_cast<uint8_t>(255 - 255 * x / std::max(image.width - 1, 1)));
  }
  return rgba;
}

}  // namespace nestvit::testing

// WebP by libwebp: lossy and lossless still images.
#include <nestvit/error.h>
#include <webp/decode.h>

#include "base/file.h"
#include "image/codecs/codecs.h"

namespace nestvit {
namespace {

const char* status_text(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "truncated";
    case VP8_STATUS_OUT_OF_MEMORY:
      return "out of memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "unsupported feature";
    default:
      return "corrupt data";
  }
}

WebPBitstreamFeatures features_of(std::span<const std::byte> bytes, const std::string& origin) {
  // libwebp does not notice that chunks after the pixels are missing.
  BoundedReader reader(bytes, origin);
  reader.take(4);
  const uint64_t length = reader.little<uint32_t>();
  if (length > reader.remaining()) fail_decoding("WebP", "truncated", origin);
  WebPBitstreamFeatures features;
  const auto status =
      WebPGetFeatures(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), &features);
  if (status != VP8_STATUS_OK) fail_decoding("WebP", status_text(status), origin);
  if (features.has_animation)
    throw Error(origin + ": is an animated WebP, expected a still image",
                "save one frame of it as PNG or JPEG");
  return features;
}

}  // namespace

StoredSize webp_size(std::span<const std::byte> bytes, const std::string& origin) {
  const auto features = features_of(bytes, origin);
  return {features.height, features.width};
}

Image decode_webp(std::span<const std::byte> bytes, const DecodeOptions& options,
                  const std::string& origin) {
  const auto features = features_of(bytes, origin);
  const StoredSize size{features.height, features.width};
  check_pixels(size, options, origin);
  const bool blend = options.background && features.has_alpha;
  const int channels = blend ? 4 : 3;
  std::vector<uint8_t> pixels(static_cast<size_t>(size.height) * size.width * channels);
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) fail_decoding("WebP", "library version", origin);
  config.output.colorspace = blend ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {pixels.data(), size.width * channels, pixels.size()};
  const auto status =
      WebPDecode(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), &config);
  WebPFreeDecBuffer(&config.output);
  if (status != VP8_STATUS_OK) fail_decoding("WebP", status_text(status), origin);
  if (blend) return over_background(size, pixels, *options.background);
  return {size.height, size.width, 3, std::move(pixels)};
}

}  // namespace nestvit

// Escaping, base64 and small pictures as data: URIs.
#include "report/markup.h"

#include <algorithm>
#include <cmath>

#include "base/unicode.h"
#include "image/codecs/codec.h"
#include "image/resize.h"

namespace nestvit {
namespace {

constexpr int kLosslessSide = 64;  // up to here a PNG is small anyway
constexpr int kJpegQuality = 85;

}  // namespace

std::string clean_utf8(std::string_view text) {
  std::string clean;
  for_each_letter(text, [&](std::string_view bytes, int32_t letter) {
    clean += letter >= 0x20 && letter != 0x7F ? bytes : "\xEF\xBF\xBD";
  });
  return clean;
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : clean_utf8(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string base64(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(bytes.size() - i, 3);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < count ? static_cast<uint32_t>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j) text += j <= count ? kDigits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

Image shrunk(const Image& image, int max_side) {
  const int longer = std::max(image.height, image.width);
  if (longer <= max_side) return image;
  const double scale = static_cast<double>(max_side) / longer;
  const auto side = [&](int full) {
    return std::max(1, static_cast<int>(std::lround(full * scale)));
  };
  return resize_pil(image, side(image.height), side(image.width), Interpolation::kBicubic);
}

std::string image_uri(const Image& image, int max_side) {
  if (image.height < 1 || image.width < 1) return "";
  const Image small = shrunk(image, max_side);
  if (std::max(small.height, small.width) <= kLosslessSide)
    return "data:image/png;base64," + base64(encode_png(small));
  return "data:image/jpeg;base64," + base64(encode_jpeg(small, kJpegQuality));
}

}  // namespace nestvit

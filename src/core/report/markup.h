// Text and pictures inside pages: names of files and classes may hold anything.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "image/image.h"

namespace nestvit {

// Valid UTF-8 without control characters: other bytes become U+FFFD.
std::string clean_utf8(std::string_view text);

// `text` as HTML shows it, also inside attributes in quotes. Cleaned first.
std::string escape_html(std::string_view text);

std::string base64(std::span<const std::byte> bytes);

// With sides of at most `max_side`; smaller images as they are.
Image shrunk(const Image& image, int max_side);

// The image with sides of at most `max_side` as a data: URI: PNG when it is small, so that every
// pixel of a 32 x 32 image stays as it is, else JPEG. Empty for an image without pixels.
std::string image_uri(const Image& image, int max_side);

}  // namespace nestvit

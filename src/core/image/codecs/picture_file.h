// Pictures as files: the name says the format.
#pragma once

#include <filesystem>

#include "image/image.h"

namespace nestvit {

enum class PictureFormat { kPng, kJpeg };

// By the extension, in any case: .png, .jpg, .jpeg. PNG for a name without one, and for a device or
// a pipe (base/system/place.h) of another name. Throws UsageError for any other name of a file.
PictureFormat picture_format(const std::filesystem::path& path);

// Throws as picture_format(), encode_jpeg() and write_file() do.
void write_picture(const std::filesystem::path& path, const Image& image);

}  // namespace nestvit

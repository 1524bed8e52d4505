// By the encoders of codec.h.
#include "image/codecs/picture_file.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include "base/file.h"
#include "base/system/place.h"
#include "base/text.h"
#include "image/codecs/codec.h"

namespace nestvit {

PictureFormat picture_format(const std::filesystem::path& path) {
  const std::string extension = ascii_lower(path.extension().string());
  if (extension == ".jpg" || extension == ".jpeg") return PictureFormat::kJpeg;
  if (extension == ".png" || extension.empty() || place_of(path).stream) return PictureFormat::kPng;
  throw UsageError(fmt::format("{}: pictures are written as PNG or JPEG", path.string()),
                   "end the name in .png or .jpg");
}

void write_picture(const std::filesystem::path& path, const Image& image) {
  const bool jpeg = picture_format(path) == PictureFormat::kJpeg;
  write_file(path, jpeg ? encode_jpeg(image) : encode_png(image));
}

}  // namespace nestvit

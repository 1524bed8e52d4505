// EXIF orientation: found in every format, turned as the standard says, and broken metadata.
#include <gtest/gtest.h>

#include <array>

#include "core/image/codecs/decoding.h"
#include "image/codecs/codecs.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::Bytes;
using testing::decode;
using testing::gradient;
using testing::make_jpeg;
using testing::make_webp;
using testing::with_alpha;
using testing::with_exif;

// The picture as the EXIF standard says: where the stored first row and column are shown.
Image shown(const Image& stored, int orientation) {
  const auto at = [&](int y, int x) {
    const auto* p = &stored.pixels[(static_cast<size_t>(y) * stored.width + x) * 3];
    return std::array<uint8_t, 3>{p[0], p[1], p[2]};
  };
  const int bottom = stored.height - 1, right = stored.width - 1;
  const bool turned = orientation > 4;
  Image result{turned ? stored.width : stored.height, turned ? stored.height : stored.width, 3, {}};
  for (int y = 0; y < result.height; ++y)
    for (int x = 0; x < result.width; ++x) {
      const std::array<std::array<int, 2>, 8> sources = {{{y, x},
                                                          {y, right - x},
                                                          {bottom - y, right - x},
                                                          {bottom - y, x},
                                                          {x, y},
                                                          {bottom - x, y},
                                                          {bottom - x, right - y},
                                                          {x, right - y}}};
      const auto [row, column] = sources[orientation - 1];
      for (uint8_t v : at(row, column)) result.pixels.push_back(v);
    }
  return result;
}

TEST(Orientation, IsAppliedOnlyWhenAskedFor) {
  const Image image = gradient(10, 14);
  std::vector<uint8_t> opaque = with_alpha(image);
  for (size_t i = 3; i < opaque.size(); i += 4) opaque[i] = 255;
  for (const Bytes& file :
       {make_jpeg(10, 14, image.pixels, {}), encode_png(image), make_webp(10, 14, opaque, true)})
    for (int orientation = 1; orientation <= 8; ++orientation)
      for (bool big_endian : {false, true}) {
        const Bytes bytes = with_exif(file, orientation, big_endian);
        const ImageInfo info = probe_image(bytes, "test");
        SCOPED_TRACE(info.format + " " + std::to_string(orientation));
        EXPECT_EQ(info.orientation, orientation);
        EXPECT_EQ(info.height, 10);
        EXPECT_EQ(info.width, 14);
        const Image stored = decode(file);
        EXPECT_EQ(decode(bytes), stored);
        DecodeOptions options;
        options.exif_orientation = true;
        EXPECT_EQ(decode(bytes, options), shown(stored, orientation));
      }
}

TEST(Orientation, BrokenMetadataCountsAsNone) {
  const Bytes good = with_exif(make_jpeg(8, 8, gradient(8, 8).pixels, {}), 6, true);
  const size_t tiff = 12;  // SOI, APP1, length, "Exif\0\0"
  for (size_t i = tiff; i < tiff + 38; ++i)
    for (int bit = 0; bit < 8; ++bit) {
      Bytes bytes = good;
      bytes[i] ^= static_cast<std::byte>(1 << bit);
      const int orientation = probe_image(bytes, "test").orientation;
      EXPECT_TRUE(orientation >= 1 && orientation <= 8);
    }
  EXPECT_EQ(
      probe_image(with_exif(make_jpeg(8, 8, gradient(8, 8).pixels, {}), 9, true), "t").orientation,
      1);
}

TEST(Orientation, FilesWithoutExifStandUpright) {
  const Image image = gradient(8, 8);
  for (const Bytes& file : {make_jpeg(8, 8, image.pixels, {}), encode_png(image),
                            make_webp(8, 8, with_alpha(image), true), Bytes(), Bytes(3)})
    EXPECT_EQ(exif_orientation(file), 1);
}

// Cut anywhere, the file has the orientation that its first bytes say, or none.
TEST(Orientation, CutFilesAreReadWithinTheirBytes) {
  const Image image = gradient(8, 8);
  for (const Bytes& file : {with_exif(make_jpeg(8, 8, image.pixels, {}), 6, true),
                            with_exif(encode_png(image), 6, false),
                            with_exif(make_webp(8, 8, with_alpha(image), true), 6, true)}) {
    ASSERT_EQ(exif_orientation(file), 6);
    for (size_t length = 0; length < file.size(); ++length) {
      // Its own memory, so that a sanitizer sees a read behind the end.
      const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
      const int orientation = exif_orientation(cut);
      EXPECT_TRUE(orientation == 1 || orientation == 6) << length;
    }
  }
}

}  // namespace
}  // namespace nestvit

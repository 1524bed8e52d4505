// Decoding: equal to the peers' decoders, windows, and hostile input of every format.
#include "image/codecs/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "base/file.h"
#include "core/image/codecs/decoding.h"
#include "image/resize.h"
#include "support/encoders.h"
#include "support/errors.h"
#include "support/golden.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

using testing::Bytes;
using testing::decode;
using testing::error_of;
using testing::gradient;
using ::testing::HasSubstr;
using testing::JpegKind;
using testing::make_jpeg;
using testing::make_png;
using testing::make_webp;
using testing::max_difference;
using testing::with_alpha;
using testing::with_exif;

void compare_decoded(const std::string& file, Dct dct) {
  const auto tensors = read_safetensors(testing::golden_root() / "preprocess" / file);
  ASSERT_FALSE(tensors.empty());
  for (const auto& [key, tensor] : tensors) {
    SCOPED_TRACE(key);
    DecodeOptions options;
    options.dct = dct;
    const Image image = read_image(testing::golden_image(key.substr(0, key.rfind('/'))), options);
    ASSERT_EQ(tensor.shape(), (std::vector<int64_t>{image.height, image.width, 3}));
    const auto expected = tensor.as<uint8_t>();
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), image.pixels.begin()));
  }
}

TEST(CodecGolden, DecodesLikeTensorFlow) { compare_decoded("decoded_tf.safetensors", Dct::kFast); }
TEST(CodecGolden, DecodesLikePillow) {
  compare_decoded("decoded_pillow.safetensors", Dct::kAccurate);
}

const std::vector<Box> kWindows = {{0, 0, 70, 90},   {0, 0, 1, 1},     {69, 89, 1, 1},
                                   {13, 17, 30, 40}, {16, 32, 16, 16}, {1, 1, 68, 88},
                                   {50, 3, 20, 80},  {33, 47, 5, 43}};

TEST(Window, EqualsTheCropWithoutSubsampling) {
  const Image image = gradient(70, 90);
  for (bool progressive : {false, true}) {
    const Bytes bytes =
        make_jpeg(70, 90, image.pixels, {.progressive = progressive, .subsampled = false});
    const Image whole = decode(bytes);
    for (const Box& window : kWindows)
      EXPECT_EQ(decode_window(bytes, window, {}, "test"), crop(whole, window));
  }
}

TEST(Window, DiffersOnlyInItsOuterColumnsWithSubsampling) {
  const Image image = gradient(70, 90);
  const Bytes bytes = make_jpeg(70, 90, image.pixels, {});
  const Image whole = decode(bytes);
  for (const Box& window : kWindows) {
    const Image part = decode_window(bytes, window, {}, "test");
    const Image expected = crop(whole, window);
    EXPECT_LE(max_difference(part, expected), 4);
    if (window.width < 5) continue;
    const Box inner{0, 2, window.height,
                    window.width - 4};  // upsampling reaches one chroma sample, two pixels
    EXPECT_EQ(crop(part, inner), crop(expected, inner));
  }
}

// Averages of f x f pixels.
Image averaged(const Image& image, int f) {
  Image small{image.height / f, image.width / f, 3, {}};
  for (int y = 0; y < small.height; ++y)
    for (int x = 0; x < small.width; ++x)
      for (int c = 0; c < 3; ++c) {
        int sum = 0;
        for (int i = 0; i < f * f; ++i)
          sum += image.pixels[((y * f + i / f) * image.width + x * f + i % f) * 3 + c];
        small.pixels.push_back(static_cast<uint8_t>((sum + f * f / 2) / (f * f)));
      }
  return small;
}

TEST(Window, ShrinksWhileItsSidesStayLongEnough) {
  const Image image = gradient(240, 320);
  for (const bool progressive : {false, true}) {
    const Bytes bytes = make_jpeg(240, 320, image.pixels, {.progressive = progressive});
    const Box window{16, 32, 160, 200};
    for (const auto& [shrink_to, factor] : std::map<int, int>{
             {0, 1}, {161, 1}, {81, 1}, {80, 2}, {41, 2}, {40, 4}, {20, 8}, {1, 8}}) {
      DecodeOptions options;
      options.shrink_to = shrink_to;
      const Image part = decode_window(bytes, window, options, "test");
      const Image expected = averaged(crop(decode(bytes), window), factor);
      ASSERT_EQ(part.height, 160 / factor) << shrink_to;
      ASSERT_EQ(part.width, 200 / factor) << shrink_to;
      // A smooth picture's averages, but for rounding in two places and upsampled colours at the
      // edges.
      const Box inner{0, 2, part.height, part.width - 4};
      EXPECT_LE(max_difference(crop(part, inner), crop(expected, inner)), factor == 1 ? 0 : 3)
          << shrink_to;
    }
    DecodeOptions options;
    options.shrink_to = 16;
    for (const Box& any :
         {Box{0, 0, 240, 320}, Box{1, 3, 239, 317}, Box{207, 287, 33, 33}, Box{5, 7, 100, 33}}) {
      const Image part = decode_window(bytes, any, options, "test");
      EXPECT_GE(part.height, 16);
      EXPECT_GE(part.width, 16);
      EXPECT_LT(part.height * 2, any.height + 4);
    }
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(bytes.size() / 2));
    EXPECT_THROW(decode_window(cut, window, options, "test"), Error);
  }
}

TEST(Window, OfOtherFormatsIsTheCrop) {
  const Image image = gradient(70, 90);
  for (const Box& window : kWindows) {
    EXPECT_EQ(decode_window(encode_png(image), window, {}, "test"), crop(image, window));
    EXPECT_EQ(decode_window(make_webp(70, 90, with_alpha(image), true), window, {}, "test").height,
              window.height);
  }
}

TEST(Window, OutsideIsAnError) {
  const Image image = gradient(10, 12);
  for (const Bytes& bytes : {make_jpeg(10, 12, image.pixels, {}), encode_png(image)})
    for (const Box& window : {Box{-1, 0, 2, 2}, Box{0, 0, 11, 2}, Box{0, 11, 2, 2}, Box{0, 0, 0, 2},
                              Box{5, 5, 2147483647, 1}})
      EXPECT_THAT(error_of([&] { decode_window(bytes, window, {}, "test"); }),
                  HasSubstr("is not inside the image of 10x12"));
}

std::vector<std::pair<std::string, Bytes>> small_files() {
  const Image image = gradient(24, 33);
  const auto jpeg = [&](const JpegKind& kind) { return make_jpeg(24, 33, image.pixels, kind); };
  return {{"baseline", jpeg({})},
          {"progressive", jpeg({.progressive = true})},
          {"restarts", jpeg({.restart_rows = 1})},
          {"grey", make_jpeg(24, 33, gradient(24, 33, 1).pixels, {JpegKind::kGrey})},
          {"png", encode_png(image)},
          {"interlaced", make_png(24, 33, image.pixels, {.interlaced = true})},
          {"exif png", with_exif(encode_png(image), 6, true)},
          {"lossy webp", make_webp(24, 33, with_alpha(image), false)},
          {"lossless webp", make_webp(24, 33, with_alpha(image), true)}};
}

TEST(Hostile, EveryTruncationIsAnErrorThatNamesTheFile) {
  for (const auto& [name, bytes] : small_files()) {
    ASSERT_NO_THROW(decode(bytes)) << name;
    for (size_t length = 0; length < bytes.size(); ++length) {
      const Bytes cut(bytes.begin(), bytes.begin() + length);
      EXPECT_THAT(error_of([&] { decode(cut); }), HasSubstr("test")) << name << " at " << length;
      EXPECT_THAT(error_of([&] {
                    decode_window(cut, {4, 4, 9, 9}, {}, "test");
                  }),
                  HasSubstr("test"))
          << name << " at " << length;
    }
  }
}

TEST(Hostile, ChangedBytesNeverCrash) {
  size_t errors = 0;
  for (const auto& [name, good] : small_files()) {
    DecodeOptions options;
    options.max_pixels = 1 << 16;
    for (size_t i = 0; i < good.size(); ++i)
      for (int value : {0x00, 0xFF, 0x7F, 0xD9}) {
        Bytes bytes = good;
        bytes[i] = static_cast<std::byte>(value);
        try {
          const Image image = decode(bytes, options);
          EXPECT_EQ(image.pixels.size(), image.size());
        } catch (const Error&) {
          ++errors;
        }
      }
  }
  EXPECT_GT(errors, 0u);
}

TEST(Hostile, HugeDeclaredSizesAreRefusedBeforeAnyMemoryIsTaken) {
  Bytes jpeg = make_jpeg(8, 8, gradient(8, 8).pixels, {});
  for (size_t i = 0; i + 8 < jpeg.size(); ++i)
    if (jpeg[i] == std::byte{0xFF} && jpeg[i + 1] == std::byte{0xC0})
      for (size_t k : {5, 6, 7, 8}) jpeg[i + k] = std::byte{0xF0};
  EXPECT_THAT(error_of([&] { decode(jpeg); }), HasSubstr("too large: 61680x61680"));

  Bytes png = make_png(8, 8, gradient(8, 8).pixels, {});
  for (size_t i = 16; i < 24; ++i) png[i] = std::byte{0x7F};  // the checksum is wrong then, too
  EXPECT_THAT(error_of([&] { decode(png); }), HasSubstr("test"));

  DecodeOptions options;
  options.max_pixels = 63;
  for (const Bytes& bytes : {make_jpeg(8, 8, gradient(8, 8).pixels, {}), encode_png(gradient(8, 8)),
                             make_webp(8, 8, with_alpha(gradient(8, 8)), true)})
    EXPECT_THAT(error_of([&] { decode(bytes, options); }),
                HasSubstr("8x8 are 64 pixels, expected at most 63"));
}

TEST(Hostile, OtherFilesAreNamed) {
  const auto message = [](const std::string& text) {
    Bytes bytes;
    for (char c : text) bytes.push_back(static_cast<std::byte>(c));
    return error_of([&] { decode(bytes); });
  };
  EXPECT_THAT(message(""), HasSubstr("test: got an empty file, expected a JPEG, PNG or WebP"));
  EXPECT_THAT(message("GIF89a......"), HasSubstr("got a GIF"));
  EXPECT_THAT(message("<html>"), HasSubstr("3c 68 74 6d 6c 3e"));
}

TEST(Codec, ChannelsFollowPillow) {
  // Pillow's L = (R * 19595 + G * 38470 + B * 7471 + 0x8000) >> 16.
  const Image image{1, 4, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}};
  EXPECT_EQ(to_channels(image, 1).pixels, (std::vector<uint8_t>{76, 150, 29, 255}));
  EXPECT_EQ(to_channels(Image{1, 1, 1, {7}}, 3).pixels, (std::vector<uint8_t>{7, 7, 7}));
}

}  // namespace
}  // namespace nestvit

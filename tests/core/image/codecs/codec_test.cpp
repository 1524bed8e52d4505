// Decoding: equal to the peers' decoders, every kind of file, orientation, windows, and hostile
// input.
#include "image/codecs/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>

#include "base/file.h"
#include "image/resize.h"
#include "support/encoders.h"
#include "support/golden.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

using testing::gradient;
using testing::JpegKind;
using testing::make_jpeg;
using testing::make_png;
using testing::make_webp;
using testing::PngKind;
using testing::with_alpha;
using testing::with_exif;
using Bytes = testing::Bytes;
using ::testing::HasSubstr;

Image decode(const Bytes& bytes, const DecodeOptions& options = {}) {
  return decode_image(bytes, options, "test");
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

int max_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  int most = 0;
  for (size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i)
    most = std::max(most, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  return most;
}

// --- Against the peers
// --------------------------------------------------------------------------------------------

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

// --- Kinds of JPEG
// ------------------------------------------------------------------------------------------------

TEST(Jpeg, GreyBecomesThreeEqualChannels) {
  const Image grey = gradient(20, 30, 1);
  const Image image = decode(make_jpeg(20, 30, grey.pixels, {JpegKind::kGrey}));
  EXPECT_EQ(image.channels, 3);
  EXPECT_LE(max_difference(image, to_channels(grey, 3)), 6);
  EXPECT_EQ(to_channels(to_channels(image, 1), 3), image);
}

TEST(Jpeg, ProgressiveEqualsBaseline) {
  const Image image = gradient(45, 61);
  const Image baseline = decode(make_jpeg(45, 61, image.pixels, {}));
  EXPECT_EQ(decode(make_jpeg(45, 61, image.pixels, {.progressive = true})), baseline);
  EXPECT_EQ(decode(make_jpeg(45, 61, image.pixels, {.restart_rows = 1})), baseline);
  EXPECT_LE(max_difference(baseline, image), 12);
}

// Flat colours at quality 100 survive exactly, so the conversion of inks is what is compared.
class Inks : public ::testing::TestWithParam<std::array<uint8_t, 4>> {
 protected:
  std::array<uint8_t, 3> decoded(JpegKind::Colour colour, Dct dct) const {
    std::vector<uint8_t> samples;
    for (int i = 0; i < 64; ++i)
      samples.insert(samples.end(), GetParam().begin(), GetParam().end());
    DecodeOptions options;
    options.dct = dct;
    const Image image =
        decode(make_jpeg(8, 8, samples, {.colour = colour, .quality = 100}), options);
    return {image.pixels[0], image.pixels[1], image.pixels[2]};
  }
};

TEST_P(Inks, ConvertLikePillowUnderTheAccurateDct) {
  // Pillow: stored values are 255 - ink whatever the file says; then nk - round(ink * nk / 255), nk
  // = 255 - key.
  const auto stored = GetParam();
  for (auto colour : {JpegKind::kInks, JpegKind::kAdobeInks}) {
    const auto rgb = decoded(colour, Dct::kAccurate);
    for (int c = 0; c < 3; ++c) {
      const int key = stored[3];
      const double expected = key - std::round((255 - stored[c]) * key / 255.0);
      EXPECT_EQ(rgb[c], expected) << "channel " << c;
    }
  }
}

TEST_P(Inks, ConvertLikeTensorFlowUnderTheFastDct) {
  const auto v = GetParam();
  const auto adobe = decoded(JpegKind::kAdobeInks, Dct::kFast);
  const auto plain = decoded(JpegKind::kInks, Dct::kFast);
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(adobe[c], v[3] * v[c] / 255) << "channel " << c;
    EXPECT_EQ(plain[c], (255 - v[3]) * (255 - v[c]) / 255) << "channel " << c;
  }
}

TEST_P(Inks, YcckIsWithinTheRoundingOfItsColourTransform) {
  const auto direct = decoded(JpegKind::kAdobeInks, Dct::kAccurate);
  const auto ycck = decoded(JpegKind::kAdobeYcck, Dct::kAccurate);
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(ycck[c], direct[c], 2);
}

INSTANTIATE_TEST_SUITE_P(Colours, Inks,
                         ::testing::Values(std::array<uint8_t, 4>{0, 0, 0, 0},
                                           std::array<uint8_t, 4>{255, 255, 255, 255},
                                           std::array<uint8_t, 4>{200, 100, 50, 220},
                                           std::array<uint8_t, 4>{17, 250, 128, 99},
                                           std::array<uint8_t, 4>{60, 61, 62, 63}));

TEST(Jpeg, PaddingAroundTheMarkersIsNoDamage) {
  const Image image = gradient(16, 16);
  Bytes bytes = make_jpeg(16, 16, image.pixels, {});
  const Image clean = decode(bytes);
  bytes.insert(bytes.end() - 2, 5, std::byte{0});  // before the end marker
  bytes.insert(bytes.end(), 9, std::byte{0x55});   // behind it
  EXPECT_EQ(decode(bytes), clean);
}

TEST(Jpeg, DamagedDataIsAnError) {
  const Image image = gradient(64, 64);
  Bytes bytes = make_jpeg(64, 64, image.pixels, {.restart_rows = 1});
  // A restart marker in the middle gets the wrong number: libjpeg itself only warns.
  bool changed = false;
  for (size_t i = bytes.size() / 2; i + 1 < bytes.size() && !changed; ++i)
    if (bytes[i] == std::byte{0xFF} && bytes[i + 1] >= std::byte{0xD0} &&
        bytes[i + 1] <= std::byte{0xD7}) {
      bytes[i + 1] ^= std::byte{4};
      changed = true;
    }
  ASSERT_TRUE(changed);
  EXPECT_THAT(error_of([&] { decode(bytes); }), HasSubstr("test: broken JPEG image: "));
}

// --- Windows
// ------------------------------------------------------------------------------------------------------

const std::vector<Box> kWindows = {{0, 0, 70, 90},   {0, 0, 1, 1},     {69, 89, 1, 1},
                                   {13, 17, 30, 40}, {16, 32, 16, 16}, {1, 1, 68, 88},
                                   {50, 3, 20, 80},  {33, 47, 5, 43}};

// The markers of a JPEG up to its picture: marker, its bytes.
std::map<int, std::vector<uint8_t>> segments(const std::vector<std::byte>& file) {
  std::map<int, std::vector<uint8_t>> found;
  const auto at = [&](size_t i) { return std::to_integer<size_t>(file.at(i)); };
  for (size_t i = 2; at(i + 1) != 0xDA; i += 2 + at(i + 2) * 256 + at(i + 3))
    for (size_t k = 0; k < at(i + 2) * 256 + at(i + 3); ++k)
      found[static_cast<int>(at(i + 1))].push_back(static_cast<uint8_t>(at(i + 2 + k)));
  return found;
}

TEST(Jpeg, WritesAsTensorFlowDoes) {
  const Image image = testing::gradient(37, 50);
  const auto file = encode_jpeg(image);
  const auto header = segments(file);
  const auto frame = header.at(0xC0);  // baseline: length, bits, sides, then 3 bytes per component
  ASSERT_EQ(frame.size(), 17u);
  EXPECT_EQ(frame[9], 0x22) << "luma has twice the rows and columns of chroma: 4:2:0";
  EXPECT_EQ(frame[12], 0x11);
  EXPECT_EQ(frame[15], 0x11);
  // Quality 95 scales the standard tables to a tenth: 16 becomes 2, 17 becomes 2.
  EXPECT_EQ(header.at(0xDB)[3], 2);
  // The same from another encoder of the same library, which sets all of it by hand.
  const auto other = testing::make_jpeg(image.height, image.width, image.pixels,
                                        {.colour = testing::JpegKind::kYcc, .quality = 95});
  for (const Dct dct : {Dct::kFast, Dct::kAccurate}) {
    DecodeOptions options;
    options.dct = dct;
    const Image back = decode_image(file, options, "written");
    EXPECT_EQ(back, decode_image(other, options, "other"));
    ASSERT_EQ(back.size(), image.size());
    double squares = 0;
    for (size_t i = 0; i < image.size(); ++i)
      squares += (back.pixels[i] - image.pixels[i]) * (back.pixels[i] - image.pixels[i]);
    EXPECT_LT(squares / static_cast<double>(image.size()), 4) << "smooth colours lose little";
  }
}

TEST(Jpeg, WritesGreyAndRefusesWhatIsNoImage) {
  const Image grey = testing::gradient(9, 5, 1);
  DecodeOptions options;
  options.channels = 1;
  EXPECT_EQ(decode_image(encode_jpeg(grey), options, "grey").channels, 1);
  EXPECT_EQ(segments(encode_jpeg(grey)).at(0xC0).size(), 11u) << "one component";
  EXPECT_THROW(encode_jpeg({0, 5, 3, {}}), Error);
  EXPECT_THROW(encode_jpeg({2, 2, 3, std::vector<uint8_t>(11)}), Error);
  EXPECT_THROW(encode_jpeg({2, 2, 2, std::vector<uint8_t>(8)}), Error);
  EXPECT_THROW(encode_jpeg({1, 70'000, 1, std::vector<uint8_t>(70'000)}), Error);
}

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

// --- PNG and WebP
// -------------------------------------------------------------------------------------------------

TEST(Png, WritesWhatItReads) {
  for (int channels : {1, 3}) {
    const Image image = gradient(13, 7, channels);
    EXPECT_EQ(decode(encode_png(image)), to_channels(image, 3));
    DecodeOptions grey;
    grey.channels = 1;
    EXPECT_EQ(decode(encode_png(image), grey), to_channels(image, 1));
  }
}

TEST(Png, SixteenBitsKeepTheHighByte) {
  const std::vector<uint8_t> colour = {10, 255, 20, 0, 30, 128};
  EXPECT_EQ(decode(make_png(1, 1, colour, {.bit_depth = 16})).pixels,
            (std::vector<uint8_t>{10, 20, 30}));
  const std::vector<uint8_t> grey = {0, 200, 77, 255};
  EXPECT_EQ(decode(make_png(1, 2, grey, {.colour_type = 0, .bit_depth = 16})).pixels,
            (std::vector<uint8_t>{0, 0, 0, 77, 77, 77}));
}

TEST(Png, FewBitsSpanTheWholeRange) {
  EXPECT_EQ(decode(make_png(1, 2, {0b10000000}, {.colour_type = 0, .bit_depth = 1})).pixels,
            (std::vector<uint8_t>{255, 255, 255, 0, 0, 0}));
  EXPECT_EQ(decode(make_png(1, 2, {0x3F}, {.colour_type = 0, .bit_depth = 4})).pixels,
            (std::vector<uint8_t>{51, 51, 51, 255, 255, 255}));
}

TEST(Png, PaletteAndItsTransparency) {
  const PngKind kind{
      .colour_type = 3, .palette = {1, 2, 3, 200, 100, 50}, .transparency = {255, 0}};
  const Bytes bytes = make_png(1, 2, {1, 0}, kind);
  EXPECT_EQ(decode(bytes).pixels, (std::vector<uint8_t>{200, 100, 50, 1, 2, 3}));
  DecodeOptions options;
  options.background = {9, 8, 7};
  EXPECT_EQ(decode(bytes, options).pixels, (std::vector<uint8_t>{9, 8, 7, 1, 2, 3}));
}

TEST(Png, AlphaIsDroppedOrLaidOverTheBackground) {
  const std::vector<uint8_t> rgba = {255, 0, 100, 255, 255, 0, 100, 0, 255, 0, 100, 51};
  const Bytes bytes = make_png(1, 3, rgba, {.colour_type = 6});
  EXPECT_EQ(decode(bytes).pixels, (std::vector<uint8_t>{255, 0, 100, 255, 0, 100, 255, 0, 100}));
  DecodeOptions options;
  options.background = {0, 255, 200};
  EXPECT_EQ(decode(bytes, options).pixels,
            (std::vector<uint8_t>{255, 0, 100, 0, 255, 200, 51, 204, 180}));  // a fifth of the way
  const Bytes grey = make_png(1, 1, {90, 0}, {.colour_type = 4});
  EXPECT_EQ(decode(grey).pixels, (std::vector<uint8_t>{90, 90, 90}));
  EXPECT_EQ(decode(grey, options).pixels, (std::vector<uint8_t>{0, 255, 200}));
}

TEST(WebP, LosslessIsExactAndAlphaWorks) {
  const Image image = gradient(21, 34);
  std::vector<uint8_t> rgba = with_alpha(image);
  for (size_t i = 3; i < rgba.size(); i += 4)
    rgba[i] = std::max<uint8_t>(rgba[i], 1);  // 0 loses its colour
  const Bytes bytes = make_webp(21, 34, rgba, true);
  EXPECT_EQ(decode(bytes), image);
  DecodeOptions options;
  options.background = {0, 0, 0};
  const Image blended = decode(bytes, options);
  EXPECT_EQ(blended.pixels[0], image.pixels[0]);
  EXPECT_LE(blended.pixels[33 * 3 + 1], 1);
  EXPECT_LE(max_difference(decode(make_webp(21, 34, rgba, false)), image), 24);
}

// --- Orientation
// --------------------------------------------------------------------------------------------------

// What each value means, by the EXIF standard: where the stored first row and column are shown.
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

// --- Hostile input
// ------------------------------------------------------------------------------------------------

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

// JPEG: every kind of file, inks as both peers convert them, damage, and what is written.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <array>
#include <cmath>
#include <map>

#include "core/image/codecs/decoding.h"
#include "image/codecs/codec.h"
#include "support/encoders.h"
#include "support/errors.h"

namespace nestvit {
namespace {

using testing::Bytes;
using testing::decode;
using testing::error_of;
using testing::gradient;
using ::testing::HasSubstr;
using testing::JpegKind;
using testing::make_jpeg;
using testing::max_difference;

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
class Inks : public ::testing::TestWithParam<std::array<int, 4>> {
 protected:
  std::array<uint8_t, 3> decoded(JpegKind::Colour colour, Dct dct) const {
    std::vector<uint8_t> samples;
    for (int i = 0; i < 64; ++i)
      for (const int value : GetParam()) samples.push_back(static_cast<uint8_t>(value));
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
                         ::testing::Values(std::array{0, 0, 0, 0}, std::array{255, 255, 255, 255},
                                           std::array{200, 100, 50, 220},
                                           std::array{17, 250, 128, 99},
                                           std::array{60, 61, 62, 63}),
                         [](const auto& inks) {
                           return fmt::format("{}", fmt::join(inks.param, "_"));
                         });

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

}  // namespace
}  // namespace nestvit

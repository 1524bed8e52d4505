// PNG: every depth, palettes, transparency, and what is written.
#include <gtest/gtest.h>

#include "core/image/codecs/decoding.h"
#include "image/codecs/codec.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::Bytes;
using testing::decode;
using testing::gradient;
using testing::make_png;
using testing::PngKind;

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

}  // namespace
}  // namespace nestvit

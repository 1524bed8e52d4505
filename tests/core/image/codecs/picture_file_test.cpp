// The format of a picture by the name of its file.
#include "image/codecs/picture_file.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "base/file.h"
#include "image/codecs/codec.h"
#include "support/errors.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

TEST(PictureFile, TheNameSaysTheFormat) {
  const testing::TempDir folder;
  const Image image{2, 3, 3, std::vector<uint8_t>(18, 100)};
  const auto written = [&](const char* name) {
    write_picture(folder / name, image);
    return probe_image(read_file(folder / name), name).format;
  };
  EXPECT_EQ(written("a.png"), "png");
  EXPECT_EQ(written("a.PNG"), "png");
  EXPECT_EQ(written("a"), "png");
  EXPECT_EQ(written("a.jpg"), "jpeg");
  EXPECT_EQ(written("a.JPEG"), "jpeg");
  EXPECT_EQ(picture_format("/dev/null"), PictureFormat::kPng);
  for (const char* name : {"a.webp", "a.gif", "a.pdf", "a.png.bak"})
    testing::expect_error<UsageError>([&] { picture_format(name); }, {name, ".png or .jpg"});
}

}  // namespace
}  // namespace nestvit

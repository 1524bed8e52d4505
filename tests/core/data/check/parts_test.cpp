// The parts of a dataset that a check reads, and formats of files by their content.
#include "data/check/parts.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::HasSubstr;

CheckParts parts_of(const DataDir& folder) {
  DatasetOptions options;
  options.root = folder.path();
  return open_check_parts(options);
}

std::vector<std::string> names_of(const CheckParts& parts) {
  std::vector<std::string> names;
  for (const auto& [name, images] : parts.parts) names.push_back(name);
  return names;
}

TEST(CheckParts, AreThoseThatAreThere) {
  DataDir folder;
  for (const char* name : {"train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png"})
    folder.png(name);
  const CheckParts two = parts_of(folder);
  EXPECT_EQ(two.kind, "image folder");
  EXPECT_THAT(names_of(two), ::testing::ElementsAre("train", "val"));
  EXPECT_FALSE(two.undivided);
  folder.png("test/a/3.png");
  EXPECT_THAT(names_of(parts_of(folder)), ::testing::ElementsAre("train", "val", "test"));
}

TEST(CheckParts, OfAListByItsColumn) {
  DataDir folder;
  std::string text = "path,label,split,width\n";
  for (int i = 0; i < 6; ++i) {
    const std::string name = "img/" + std::to_string(i) + ".png";
    folder.png(name, static_cast<uint8_t>(i));
    text += name + (i % 2 ? ",cat," : ",dog,") +
            (i < 2   ? "train"
             : i < 4 ? "val"
                     : "test") +
            ",2\n";
  }
  DatasetOptions options;
  options.root = folder.text("all.csv", text);
  const CheckParts parts = open_check_parts(options);
  EXPECT_THAT(names_of(parts), ::testing::ElementsAre("train", "val", "test"));
  ASSERT_EQ(parts.not_read.size(), 1u) << "said once";
  EXPECT_THAT(parts.not_read[0], HasSubstr("columns that are not read: width"));
}

TEST(CheckParts, ClassFoldersAloneAreDivided) {
  DataDir folder;
  for (int i = 0; i < 10; ++i)
    for (const char* name : {"a/", "b/"}) folder.png(name + std::to_string(i) + ".png");
  const CheckParts parts = parts_of(folder);
  EXPECT_TRUE(parts.undivided);
  ASSERT_THAT(names_of(parts), ::testing::ElementsAre("train", "val"));
  EXPECT_EQ(parts.parts[0].second->size(), 16);
  EXPECT_EQ(parts.parts[1].second->size(), 4);
}

// Training refuses a folder without images; a check says so of each.
TEST(CheckParts, EmptyClassesAndPicturesThatAreNotRead) {
  DataDir folder;
  for (const char* name : {"train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png"})
    folder.png(name);
  fs::create_directories(folder / "train/c");
  folder.text("train/a/x.gif", "GIF87a....");
  const CheckParts parts = parts_of(folder);
  ASSERT_EQ(parts.findings.size(), 3u);
  std::map<FindingKind, Finding> found;
  for (const Finding& finding : parts.findings) found[finding.kind] = finding;
  EXPECT_EQ(found.at(FindingKind::kEmptyClass).class_name, "c");
  EXPECT_THAT(found.at(FindingKind::kIgnored).file, HasSubstr("x.gif"));
  EXPECT_THAT(found.at(FindingKind::kRefused).detail, HasSubstr("'c' has no images"));
}

TEST(CheckParts, NothingThereIsAnError) {
  DataDir folder;
  expect_error([&] { parts_of(folder); }, {folder.path().string()});
}

TEST(ContentFormat, RecognisesWhatIsRefused) {
  using namespace std::string_literals;
  const auto format = [](const std::string& text) {
    return content_format(std::as_bytes(std::span(text.data(), text.size())));
  };
  EXPECT_EQ(format("GIF89a"), "GIF");
  EXPECT_EQ(format("II*\0"s), "TIFF");
  EXPECT_EQ(format("BM1234\0\0\0\0"s), "BMP");
  EXPECT_EQ(format("\0\0\0\x1c"
                   "ftypavif"s),
            "AVIF or HEIC");
  EXPECT_EQ(format("RIFF1234WEBPVP8X1234\x02"s), "animated WebP");
  EXPECT_EQ(format("RIFF1234WEBPVP8X1234\x10"s), "webp");
  EXPECT_EQ(format("BMI values"), "");
  for (const char* plain : {"jpeg", "png", "webp", ""}) EXPECT_FALSE(is_refused_format(plain));
  EXPECT_TRUE(is_refused_format("animated WebP"));
}

}  // namespace
}  // namespace nestvit

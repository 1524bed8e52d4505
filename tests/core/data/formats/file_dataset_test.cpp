// Datasets of image files: their bytes, names and labels, and the files that are images.
#include "data/formats/file_dataset.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;

FileDataset::Files files_in(const DataDir& folder) {
  FileDataset::Files files{folder.path(), {}, {0, 1, 1}, {"cat", "dog"}};
  folder.png("cat/1.png", 5);
  folder.png("dog/1.png", 7);
  folder.png("dog/2.png", 9);
  for (const char* path : {"cat/1.png", "dog/1.png", "dog/2.png"}) files.paths.add(path);
  return files;
}

TEST(FileDataset, ServesTheBytesOfItsFiles) {
  const DataDir folder;
  const FileDataset dataset("pictures", files_in(folder));
  EXPECT_EQ(dataset.kind(), "pictures");
  ASSERT_EQ(dataset.size(), 3);
  EXPECT_THAT(dataset.classes(), ElementsAre("cat", "dog"));
  for (int64_t i = 0; i < 3; ++i) {
    const Sample sample = dataset.get(i);
    EXPECT_EQ(sample.label, dataset.label(i));
    EXPECT_EQ(sample.name, dataset.name(i));
    EXPECT_EQ(decode_image(sample.encoded, {}, sample.name).pixels[0], 5 + 2 * i);
  }
  EXPECT_EQ(dataset.name(2), (folder / "dog/2.png").string());
  EXPECT_THROW(dataset.get(3), std::out_of_range);
  EXPECT_THROW(dataset.label(-1), std::out_of_range);
}

TEST(FileDataset, EmptyAndMissingFilesAreNamed) {
  const DataDir folder;
  const FileDataset dataset("pictures", files_in(folder));
  folder.text("dog/1.png", "");
  expect_error([&] { dataset.get(1); }, {"dog/1.png", "empty"});
  fs::remove(folder / "dog/1.png");
  expect_error([&] { dataset.get(1); }, {"dog/1.png"});
}

TEST(FileDataset, AbsolutePathsStayAsTheyAre) {
  const DataDir folder, elsewhere;
  FileDataset::Files files{folder.path(), {}, {0}, {"a", "b"}};
  files.paths.add(elsewhere.png("x.png", 3).string());
  EXPECT_EQ(FileDataset("list", files).name(0), (elsewhere / "x.png").string());
}

TEST(FileDataset, PartsKeepNamesWithTheirLabels) {
  const DataDir folder;
  const FileDataset::Files part = select(files_in(folder), {2, 0});
  EXPECT_EQ(part.paths.at(0), "dog/2.png");
  EXPECT_EQ(part.paths.at(1), "cat/1.png");
  EXPECT_THAT(part.labels, ElementsAre(1, 0));
  EXPECT_THAT(part.classes, ElementsAre("cat", "dog"));
}

}  // namespace
}  // namespace nestvit

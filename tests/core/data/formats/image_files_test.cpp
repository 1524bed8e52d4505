// What is read of a folder, what is counted, and what nothing means.
#include "data/formats/image_files.h"

#include <sys/stat.h>

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> texts(const std::vector<NotRead>& notes, bool expected) {
  std::vector<std::string> texts;
  for (const NotRead& note : notes)
    if (note.expected == expected) texts.push_back(note.text);
  return texts;
}

TEST(ImageExtensions, AreKnownInAnyCase) {
  for (const char* name : {"a.jpg", "a.JPG", "a.JPEG", "a.jpe", "a.JFIF"})
    EXPECT_EQ(image_format(name), "jpeg") << name;
  EXPECT_EQ(image_format("a.Png"), "png");
  EXPECT_EQ(image_format("a.b.webp"), "webp");
  for (const char* name :
       {"", "jpg", "a", "a.", "a.jpgx", "a.jp", "a.gif", "a.png.txt", "a.J\xd0G"})
    EXPECT_FALSE(has_image_extension(name)) << name;
  for (const char* extension : {"jpg", "jpeg", "jpe", "jfif", "png", "webp"})
    EXPECT_THAT(kImageExtensions, HasSubstr(extension));
}

TEST(ForeignNames, AreThoseOfSystemsAndNotOfClasses) {
  for (const char* name : {".git",
                           "._0.jpg",
                           ".DS_Store",
                           ".ipynb_checkpoints",
                           ".Trash-1000",
                           ".@__thumb",
                           "@eaDir",
                           "@Recycle",
                           "@Recently-Snapshot",
                           "#recycle",
                           "#snapshot",
                           "$RECYCLE.BIN",
                           "$Recycle.Bin",
                           "RECYCLER",
                           "System Volume Information",
                           "FOUND.000",
                           "found.017",
                           "LOST.DIR",
                           "RECYCLED",
                           "lost+found",
                           "__MACOSX",
                           "Thumbs.db",
                           "desktop.ini",
                           "__pycache__"})
    EXPECT_TRUE(is_foreign_name(name)) << name;
  for (const char* name : {"cat", "#sunset", "@home", "recycle", "lost", "found", "thumbs", "_a"})
    EXPECT_FALSE(is_foreign_name(name)) << name;
}

TEST(UnpackCommand, IsForArchives) {
  EXPECT_EQ(unpack_command("a/b.ZIP", "a"), "unzip a/b.ZIP -d a");
  EXPECT_EQ(unpack_command("b.tar.gz", "c"), "tar -xf b.tar.gz -C c");
  EXPECT_EQ(unpack_command("b.gz", "c"), "");
  EXPECT_EQ(unpack_command("b.jpg", "c"), "");
}

TEST(ListFolder, TellsFoldersFilesAndLinksApart) {
  DataDir folder;
  folder.text("cat/1.jpg", "x");
  folder.text("a.jpg", "x");
  folder.text("lost+found/1.jpg", "x");
  folder.text("Thumbs.db", "x");
  fs::create_directory_symlink(folder / "cat", folder / "kitten");
  fs::create_symlink(folder / "a.jpg", folder / "b.jpg");
  fs::create_symlink("/nowhere/at/all", folder / "gone");
  ASSERT_EQ(mkfifo((folder / "pipe.jpg").c_str(), 0600), 0);
  const Listing listing = list_folder(folder.path());
  EXPECT_THAT(listing.folders, ElementsAre("cat", "kitten"));
  EXPECT_THAT(listing.files, ElementsAre("a.jpg", "b.jpg"));
  EXPECT_THAT(listing.lost, ElementsAre("gone"));
  EXPECT_THAT(listing.devices, ElementsAre("pipe.jpg"));
}

TEST(FindImages, FollowsLinksOnce) {
  DataDir folder;
  folder.text("root/top.jpg", "x");
  folder.text("root/a/1.jpg", "x");
  folder.text("root/a/.hidden/1.jpg", "x");
  folder.text("root/a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "x");
  folder.text("elsewhere/2.jfif", "x");
  fs::create_directory_symlink(folder / "elsewhere", folder / "root/b");
  fs::create_directory_symlink(folder / "root", folder / "root/a/circle");
  fs::create_symlink("/nowhere.jpg", folder / "root/gone.jpg");
  const FoundImages all = find_images(folder / "root", "");
  EXPECT_THAT(all.images, ElementsAre("top.jpg", "a/1.jpg", "b/2.jfif"));
  EXPECT_THAT(all.lost, ElementsAre("gone.jpg"));
  EXPECT_THAT(all.folders, ElementsAre("", "a", "b"));
  EXPECT_THAT(
      texts(all.unread.sentences("root"), true),
      ElementsAre(HasSubstr("1 link leads to a folder that is read already; it is a/circle")));
  // From a class folder a link upwards would lead to the images of other classes.
  EXPECT_THAT(find_images(folder / "root", "a").images, ElementsAre("a/1.jpg"));
}

TEST(FindImages, CountsWhatItDoesNotRead) {
  DataDir folder;
  for (int i = 0; i < 9; ++i) folder.text("cat/" + std::to_string(i) + ".bmp", "x");
  for (const char* name : {"cat/a.GIF", "cat/deep/b.heic", "cat/notes.txt", "cat/photo"})
    folder.text(name, "x");
  ASSERT_EQ(mkfifo((folder / "cat/pipe.jpg").c_str(), 0600), 0);
  fs::create_symlink("/nowhere", folder / "cat/gone");
  std::vector<std::string> others;
  const FoundImages found =
      find_images(folder.path(), "cat", [&](const std::string& file) { others.push_back(file); });
  EXPECT_THAT(found.images, IsEmpty());
  EXPECT_EQ(others.size(), 13u);
  EXPECT_EQ(found.unread.files(), 13);
  EXPECT_EQ(found.unread.kinds(), "9 .bmp, 1 .gif, 1 .heic, 1 .txt, 1 without an extension");
  const auto notes = found.unread.sentences("pets");
  EXPECT_THAT(texts(notes, false),
              ElementsAre(HasSubstr("pets: 12 files are not read (9 .bmp, 1 .gif, 1 .heic, 1 "
                                    "without an extension); images are jpg"),
                          HasSubstr("1 link leads nowhere; it is cat/gone"),
                          HasSubstr("1 pipe, socket or device is not read; it is cat/pipe.jpg")));
  EXPECT_THAT(texts(notes, true), ElementsAre(HasSubstr("1 file is not read (1 .txt)")));
}

// Beside class folders an archive or a file without an end is no image that is missed.
TEST(Unread, KnowsWhatPeopleKeepBesideClassFolders) {
  Unread unread;
  for (const char* name : {"README", "LICENSE.txt", "pets.zip", "labels.csv"})
    unread.add_file(name, true);
  EXPECT_THAT(texts(unread.sentences("d"), false), IsEmpty());
  EXPECT_EQ(texts(unread.sentences("d"), true).size(), 1u);
  unread.add_file("stray.jpg", true);
  unread.add_file("more.tiff", true);
  EXPECT_THAT(
      texts(unread.sentences("d"), false),
      ElementsAre(HasSubstr("1 file is not read (1 .tiff)"),
                  HasSubstr("1 image beside the class folders is not read; it is stray.jpg")));
}

TEST(Unread, HostileNamesStayShortAndHarmless) {
  Unread unread;
  for (int i = 0; i < 1000; ++i) unread.add_file("x." + std::to_string(i) + "q");
  unread.add_file("x.\x1b[2J");
  unread.add_file("x." + std::string(200, 'y'));
  const std::string text = unread.sentences("d\x1b").front().text;
  EXPECT_LT(text.size(), 400u);
  EXPECT_THAT(text, HasSubstr("1,002 files"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace nestvit

// Which folders are parts, which are classes, and what is said of the others.
#include "data/formats/folder_layout.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Parts = std::map<std::string, Split>;

TEST(PartsAmong, KnowsTheFormsThatPeopleUse) {
  for (const auto& [train, val, test] :
       std::vector<std::array<std::string, 3>>{{"train", "val", "test"},
                                               {"Train", "Valid", "Test"},
                                               {"TRAINING", "VALIDATION", "TESTING"},
                                               {"x_train", "x_val", "x_test"},
                                               {"Seg_Train", "seg_dev", "seg_test"},
                                               {"train_images", "val_images", "test_images"},
                                               {"training_set", "validation_set", "test_set"},
                                               {"trainset", "valset", "testset"},
                                               {"train2017", "val2017", "test2017"},
                                               {"1-train", "2-validation", "3-test"},
                                               {"Train data", "Valid data", "Test data"}})
    EXPECT_EQ(parts_among({train, val, test, "cat"}),
              (Parts{{train, Split::kTrain}, {val, Split::kVal}, {test, Split::kTest}}));
}

TEST(PartsAmong, LeavesClassesAlone) {
  for (const std::vector<std::string>& classes : {std::vector<std::string>{"bullet_train", "bus"},
                                                  {"test_tube", "beaker"},
                                                  {"test_positive", "test_negative"},
                                                  {"dev_board", "test_board"},
                                                  {"bullet_train", "test_tube", "eval_kit"},
                                                  {"steam_train", "electric_train"},
                                                  {"trained", "untrained"},
                                                  {"validity", "contest"}})
    EXPECT_EQ(parts_among(classes), Parts{}) << classes[0];
}

class Layout : public ::testing::Test {
 protected:
  void fill(const std::string& under, std::initializer_list<const char*> classes) const {
    for (const char* name : classes) folder_.text(under + name + "/1.jpg", "x");
  }
  FolderLayout layout() const { return find_layout(folder_.path()); }
  std::string relative(const std::optional<fs::path>& path) const {
    return path ? path->lexically_relative(folder_.path()).string() : "";
  }
  static std::vector<std::string> notes(const FolderLayout& layout, bool expected) {
    std::vector<std::string> texts;
    for (const NotRead& note : layout.not_read)
      if (note.expected == expected) texts.push_back(note.text);
    return texts;
  }
  DataDir folder_;
};

TEST_F(Layout, PartsMayLieOneLevelDeeper) {
  fill("seg_train/seg_train/", {"cat", "dog"});
  fill("seg_test/seg_test/", {"cat", "dog"});
  fill("seg_pred/seg_pred/", {"x"});
  folder_.text("seg_train/stray.jpg", "x");
  const FolderLayout found = layout();
  EXPECT_EQ(relative(found.train), "seg_train/seg_train");
  EXPECT_EQ(relative(found.test), "seg_test/seg_test");
  EXPECT_EQ(relative(found.val), "");
  EXPECT_THAT(notes(found, false),
              ElementsAre(HasSubstr("folders beside seg_train/ are not read: seg_pred (1 image)"),
                          HasSubstr("it is seg_train/stray.jpg")));
}

// A class may be called like the folder that it is in, but then it is not alone there.
TEST_F(Layout, ClassesAreNotTakenForALevel) {
  fill("train/", {"train", "car"});
  folder_.text("train/train/steam/1.jpg", "x");
  EXPECT_EQ(relative(layout().train), "train");
}

TEST_F(Layout, FoldersBesidePartsAreNamed) {
  fill("train/", {"diesel", "steam"});
  fill("", {"car", "plane"});
  folder_.text("annotations/1.xml", "x");
  folder_.text("scans/1.tiff", "x");
  folder_.text("lost+found/1.jpg", "x");
  folder_.text("old/train/1.jpg", "x");
  fs::create_directories(folder_ / "empty");
  const FolderLayout found = layout();
  EXPECT_EQ(relative(found.train), "train");
  EXPECT_THAT(found.classes, IsEmpty());
  EXPECT_THAT(notes(found, false),
              ElementsAre(HasSubstr("folders beside train/ are not read: car "
                                    "(1 image), old (1 image), plane (1 image)")));
  EXPECT_THAT(notes(found, true),
              ElementsAre(HasSubstr("annotations (no image, 1 other file), scans (no image")));
}

TEST_F(Layout, TwoFoldersForOnePart) {
  fill("train/", {"cat", "dog"});
  fill("Training/", {"cat", "dog"});
  const FolderLayout found = layout();
  EXPECT_EQ(relative(found.train), "train");
  EXPECT_THAT(notes(found, false), ElementsAre(HasSubstr("not read: Training (2 images)")));
}

TEST_F(Layout, ATestFolderWithImagesIsNoClass) {
  fill("", {"exam", "homework"});
  folder_.text("test/1.jpg", "x");
  FolderLayout found = layout();
  EXPECT_THAT(found.classes, ElementsAre("exam", "homework"));
  EXPECT_THAT(notes(found, false),
              ElementsAre(HasSubstr("test is taken for the test part, not for a class, and is not "
                                    "read (1 image); rename it")));
  // Beside train/ such a folder is as expected.
  fill("train/", {"exam", "homework"});
  found = layout();
  EXPECT_THAT(notes(found, true), ElementsAre(HasSubstr("test (1 image)")));
}

TEST_F(Layout, PartsWithoutClassFoldersAreNoClasses) {
  for (const char* name : {"x_train/1.jpg", "x_test/1.jpg"}) folder_.text(name, "x");
  EXPECT_TRUE(layout().without_classes.has_value());
}

TEST_F(Layout, WhatAnotherReaderReadsIsNotNamed) {
  fill("train/", {"cat", "dog"});
  folder_.text("val/1.jpg", "x");
  EXPECT_THAT(notes(layout(), false), ElementsAre(HasSubstr("val (1 image)")));
  EXPECT_THAT(find_layout(folder_.path(), folder_ / "val").not_read, IsEmpty());
}

}  // namespace
}  // namespace nestvit

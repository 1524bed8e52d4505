// Recognising the data that a model was trained on: what counts as the same, and what does not.
#include "data/training_data.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class TrainingData : public ::testing::Test {
 protected:
  // Three classes of ten pictures, all different.
  void SetUp() override {
    for (const char* root : {"data", "copy"}) fill(root, 0);
  }
  void fill(const std::string& root, int shade) const {
    for (const char* name : {"cat", "dog", "emu"})
      for (int i = 0; i < 10; ++i)
        folder.png(root + "/" + name + "/" + std::to_string(i) + ".png",
                   static_cast<uint8_t>(shade++));
  }
  DatasetOptions options(const std::string& root, const std::string& split) const {
    DatasetOptions options;
    options.root = folder / root;
    options.split = split;
    options.val_share = 0.3;
    options.seed = 7;
    return options;
  }
  std::unique_ptr<Dataset> open(const std::string& root, const std::string& split) const {
    return open_dataset(options(root, split));
  }
  std::unique_ptr<Dataset> whole(const std::string& root) const {
    DatasetOptions all = options(root, "val");
    all.val_share = 1;
    return open_dataset(all);
  }
  TrainingRecord record(const std::string& root = "data") const {
    const auto train = open(root, "train"), val = open(root, "val");
    return record_of(*train, *val, train->classes(), options(root, "train"));
  }
  Recognised seen(const Dataset& images) const {
    return recognise(images, images.classes(), record());
  }
  std::string warnings_of(const TrainingRecord& now) const {
    ::testing::internal::CaptureStderr();
    require_same_data(record("copy"), now, "run/last");
    return ::testing::internal::GetCapturedStderr();
  }

  DataDir folder;
};

TEST_F(TrainingData, TheRecordSaysHowTheImagesWereDivided) {
  const TrainingRecord r = record();
  EXPECT_EQ(r.train_images, 21);
  EXPECT_EQ(r.held_out_images, 9);
  EXPECT_EQ(r.val_share, 0.3);
  EXPECT_EQ(r.seed, 7);
  EXPECT_NE(r.train_digest, r.held_out_digest);
  EXPECT_LE(r.examples.size(), 400u) << "what config.json takes";
}

TEST_F(TrainingData, DataThatComesInPartsHasNoDivision) {
  fill("parts/train", 0);
  fill("parts/val", 100);
  const TrainingRecord r = record("parts");
  EXPECT_EQ(r.val_share, std::nullopt);
  EXPECT_EQ(r.train_images, 30);
}

TEST_F(TrainingData, TheWholeListIsRecognisedInAnyPlaceAndOrder) {
  for (const char* root : {"data", "copy"}) {
    const Recognised found = seen(*whole(root));
    EXPECT_TRUE(found.all) << root;
    EXPECT_EQ(found.listed, 16) << root;
    EXPECT_EQ(found.same, 16) << root;
  }
  const auto all = whole("data");
  std::vector<int64_t> backwards;
  for (int64_t i = all->size(); i-- > 0;) backwards.push_back(i);
  EXPECT_TRUE(seen(*subset(whole("data"), backwards)).all);
}

TEST_F(TrainingData, PartsAreNotTheWhole) {
  const Recognised train = seen(*open("data", "train")), val = seen(*open("data", "val"));
  EXPECT_FALSE(train.all);
  EXPECT_EQ(train.same, 16);
  EXPECT_FALSE(val.all);
  EXPECT_EQ(val.listed, 0) << "nothing in it was trained on";
}

TEST_F(TrainingData, AnyOtherNameOrClassIsAnotherList) {
  fs::rename(folder / "copy/cat/3.png", folder / "copy/cat/33.png");
  EXPECT_FALSE(seen(*whole("copy")).all);
  fs::rename(folder / "copy/cat/33.png", folder / "copy/cat/3.png");
  EXPECT_TRUE(seen(*whole("copy")).all);
  folder.png("copy/dog/10.png");
  EXPECT_FALSE(seen(*whole("copy")).all);
  // The same files under names of classes that are swapped.
  const auto all = whole("data");
  EXPECT_FALSE(recognise(*all, {"dog", "cat", "emu"}, record()).all);
}

TEST_F(TrainingData, OtherPicturesUnderTheSameNamesAreNotTheExamples) {
  fill("copy", 100);
  const Recognised found = seen(*whole("copy"));
  EXPECT_TRUE(found.all);
  EXPECT_EQ(found.listed, 16);
  EXPECT_EQ(found.same, 0);
}

TEST_F(TrainingData, DamagedRecordsRecogniseNothing) {
  const auto all = whole("data");
  TrainingRecord r = record();
  for (const char* digest :
       {"", "murmur3-", "murmur3-xyz", "0123456789abcdef", "murmur3-0123456789abcdef0"}) {
    r.train_digest = digest;
    EXPECT_FALSE(recognise(*all, all->classes(), r).all) << digest;
  }
  r = record();
  r.train_images = std::numeric_limits<int64_t>::min();
  r.examples = "- -- a 12345678- -12345678  ";
  EXPECT_FALSE(recognise(*all, all->classes(), r).all);
  EXPECT_EQ(recognise(*all, all->classes(), r).listed, 0);
}

TEST_F(TrainingData, ARunGoesOnWithTheSameImagesOnly) {
  EXPECT_THAT(warnings_of(record("data")), IsEmpty());
  const auto train = open("data", "train"), val = open("data", "val");
  const TrainingRecord swapped =
      record_of(*train, *val, {"dog", "cat", "emu"}, options("data", "train"));
  EXPECT_EQ(swapped.train_images, record().train_images);
  expect_error([&] { require_same_data(record(), swapped, "run/last"); },
               {"run/last", "another name or class", "--workdir"});
}

TEST_F(TrainingData, ARunThatGoesOnWarnsOfOtherContent) {
  // Two pictures change places.
  const std::string one = open("copy", "train")->key(0), other = open("copy", "train")->key(20);
  fs::rename(folder / "copy" / one, folder / "copy/kept");
  fs::rename(folder / "copy" / other, folder / "copy" / one);
  fs::rename(folder / "copy/kept", folder / "copy" / other);
  const std::string text = warnings_of(record("data"));
  EXPECT_THAT(text, HasSubstr("other pictures than at run/last"));
  EXPECT_THAT(text, Not(HasSubstr("evaluate on")));
}

TEST_F(TrainingData, ARunThatGoesOnWarnsOfOtherImagesToEvaluateOn) {
  TrainingRecord now = record("copy");
  now.held_out_digest = "murmur3-0000000000000001";
  EXPECT_THAT(warnings_of(now), HasSubstr("images to evaluate on are others than at run/last"));
}

}  // namespace
}  // namespace nestvit

// The findings of a check, kind by kind, in folders made for it.
#include "data/check/check.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "support/data/data_files.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using testing::Bytes;
using testing::DataDir;
using Found = std::set<std::pair<std::string, std::string>>;  // kind, file or class

class Check : public ::testing::Test {
 protected:
  // A picture of its own for every value.
  void image(const std::string& name, int value, int height = 20, int width = 20) const {
    folder_.bytes(name, encode_png(picture(value, height, width)));
  }
  static Image picture(int value, int height = 20, int width = 20) {
    Image image{height, width, 3, std::vector<uint8_t>(static_cast<size_t>(height) * width * 3)};
    for (size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = static_cast<uint8_t>(i * 7 + static_cast<size_t>(value) * (i % 5 + 1));
    return image;
  }
  // Two classes, two images each, nothing wrong.
  void clean() const {
    image("train/ant/a.png", 1);
    image("train/bee/b.png", 2);
    image("val/ant/c.png", 3);
    image("val/bee/d.png", 4);
  }
  CheckResult check(int threads = 2) const {
    CheckOptions options;
    options.data.root = folder_.path();
    options.threads = threads;
    return check_dataset(options);
  }
  Found found(const CheckResult& result) const {
    Found all;
    for (const Finding& f : result.findings)
      all.emplace(finding_name(f.kind),
                  f.file.empty() ? f.class_name
                                 : fs::path(f.file).lexically_relative(folder_.path()).string());
    return all;
  }
  const Finding& only(const CheckResult& result, FindingKind kind) const {
    EXPECT_EQ(result.count(kind), 1) << finding_name(kind);
    return *std::find_if(result.findings.begin(), result.findings.end(),
                         [&](const Finding& f) { return f.kind == kind; });
  }
  DataDir folder_;
};

TEST_F(Check, CleanDataHasNoFindings) {
  clean();
  const CheckResult result = check();
  EXPECT_EQ(found(result), Found{});
  EXPECT_FALSE(result.stops_training());
  EXPECT_EQ(std::tuple(result.images, result.decoded, result.classes), std::tuple(4, 4, 2));
  EXPECT_EQ(result.formats, (std::map<std::string, int64_t>{{"png", 4}}));
  EXPECT_EQ(result.smallest_side, 20);
  ASSERT_EQ(result.parts.size(), 2u);
  EXPECT_EQ(result.parts[1].name, "val");
}

TEST_F(Check, BrokenAndRefusedFilesStopTraining) {
  clean();
  Bytes png = encode_png(picture(9));
  png.resize(png.size() / 2);
  folder_.bytes("train/ant/cut.png", png);
  folder_.text("train/ant/empty.jpg", "");
  folder_.text("train/bee/text.jpg", "not an image");
  folder_.text("val/bee/moving.jpg", "GIF89a........");
  fs::create_symlink("/nowhere/at/all", folder_.path() / "val/ant/link.png");
  const CheckResult result = check();
  EXPECT_EQ(found(result), (Found{{"broken", "train/ant/cut.png"},
                                  {"broken", "train/ant/empty.jpg"},
                                  {"broken", "train/bee/text.jpg"},
                                  {"broken", "val/ant/link.png"},
                                  {"odd-format", "val/bee/moving.jpg"}}));
  EXPECT_TRUE(result.stops_training());
  EXPECT_EQ(result.decoded, 4);
  EXPECT_THAT(only(result, FindingKind::kOddFormat).detail, ::testing::HasSubstr("GIF"));
}

TEST_F(Check, CopiesInAClassAcrossClassesAndAcrossParts) {
  clean();
  image("train/ant/again.png", 1);
  image("train/bee/elsewhere.png", 1);
  image("val/ant/leak.png", 2);  // train/bee/b.png: another part and another class
  const CheckResult result = check();
  // "a.png" comes after "again.png": a copy is named after what comes before it
  EXPECT_EQ(found(result), (Found{{"duplicate", "train/ant/again.png"},
                                  {"two-classes", "train/bee/elsewhere.png"},
                                  {"two-classes", "val/ant/leak.png"},
                                  {"leak", "val/ant/leak.png"}}));
  const Finding& leak = only(result, FindingKind::kLeak);
  EXPECT_EQ(leak.part, "val");
  EXPECT_THAT(leak.detail, ::testing::HasSubstr("the same file as"));
  EXPECT_THAT(leak.detail, ::testing::HasSubstr("b.png in train"));
  EXPECT_FALSE(result.stops_training());
}

TEST_F(Check, SamePixelsInOtherBytes) {
  clean();
  Bytes longer = encode_png(picture(1));
  longer.push_back(std::byte{0});  // behind the image's end
  folder_.bytes("train/ant/z.png", longer);
  EXPECT_THAT(only(check(), FindingKind::kDuplicate).detail,
              ::testing::HasSubstr("the same pixels as"));
}

TEST_F(Check, TheSamePixelsInAnotherShapeAreAnotherPicture) {
  clean();
  const Image flat{16, 64, 3, std::vector<uint8_t>(16 * 64 * 3, 5)};
  Image tall = flat;
  std::swap(tall.height, tall.width);
  folder_.bytes("train/ant/flat.png", encode_png(flat));
  folder_.bytes("train/ant/tall.png", encode_png(tall));
  EXPECT_EQ(found(check()), Found{});
}

TEST_F(Check, ExtensionsSizesAndShapes) {
  clean();
  folder_.bytes("train/ant/photo.png", encode_jpeg(picture(11, 64, 64)));
  folder_.bytes("train/ant/photo.JPEG", encode_jpeg(picture(12, 64, 64)));
  image("train/ant/tiny.png", 5, 15, 30);
  image("train/bee/edge.png", 6, 16, 128);
  image("train/bee/long.png", 7, 16, 129);
  const CheckResult result = check();
  EXPECT_EQ(found(result), (Found{{"extension", "train/ant/photo.png"},
                                  {"tiny", "train/ant/tiny.png"},
                                  {"aspect", "train/bee/long.png"}}));
  EXPECT_EQ(only(result, FindingKind::kTiny).detail, "30 x 15 pixels");
}

TEST_F(Check, PicturesThatAreNotReadAndEmptyClasses) {
  clean();
  folder_.text("train/ant/x.gif", "GIF87a....");
  folder_.text("train/notes.txt", "nothing to say");
  folder_.bytes("train/stray.png", encode_png(picture(8)));
  folder_.text(".hidden/x.gif", "GIF87a....");
  fs::create_directories(folder_.path() / "train/cat");
  const CheckResult result = check();
  EXPECT_EQ(found(result), (Found{{"ignored", "train/ant/x.gif"},
                                  {"ignored", "train/stray.png"},
                                  {"empty-class", "cat"},
                                  {"refused", ""}}));
  EXPECT_TRUE(result.stops_training());
  EXPECT_THAT(only(result, FindingKind::kRefused).detail, ::testing::HasSubstr("'cat'"));
  EXPECT_EQ(result.images, 4);
}

TEST_F(Check, FilesThatCouldBePicturesAreFoundByTheirExtension) {
  clean();
  folder_.text("train/ant/x.heic", "nothing that is known");
  folder_.text("train/ant/x.csv", "a,b");
  fs::create_directory_symlink("/nowhere", folder_.path() / "train/cat");
  const CheckResult result = check();
  EXPECT_EQ(found(result), (Found{{"ignored", "train/ant/x.heic"}, {"structure", ""}}));
  EXPECT_THAT(only(result, FindingKind::kStructure).detail,
              ::testing::HasSubstr("1 link leads nowhere; it is cat"));
  EXPECT_THAT(result.not_read, ::testing::ElementsAre(::testing::HasSubstr("1 .csv")));
  EXPECT_FALSE(result.stops_training());
}

TEST_F(Check, FoldersThatAreNotRead) {
  clean();
  image("plane/1.png", 9);
  EXPECT_THAT(only(check(), FindingKind::kStructure).detail,
              ::testing::HasSubstr("folders beside train/ are not read: plane (1 image)"));
}

TEST_F(Check, PartsHaveTheNamesThatTrainingKnows) {
  image("x_Train/x_Train/ant/a.png", 1);
  image("x_Train/x_Train/bee/b.png", 2);
  image("x_Test/ant/c.png", 3);
  image("Val/bee/d.png", 4);
  const CheckResult result = check();
  std::vector<std::string> names;
  for (const CheckedPart& part : result.parts) names.push_back(part.name);
  EXPECT_THAT(names, ::testing::ElementsAre("train", "val", "test"));
  EXPECT_EQ(result.classes, 2);
  EXPECT_EQ(found(result), Found{});
}

TEST_F(Check, WhatTrainingRefusesIsFound) {
  clean();
  image("val/fly/e.png", 5);
  CheckResult result = check();
  EXPECT_THAT(only(result, FindingKind::kRefused).detail,
              ::testing::HasSubstr("class 'fly' is not in"));
  fs::remove_all(folder_.path() / "val/fly");
  image("train/caf\xe9/e.png", 5);
  result = check();
  EXPECT_THAT(only(result, FindingKind::kRefused).detail, ::testing::HasSubstr("not UTF-8"));
  EXPECT_TRUE(result.stops_training());
}

TEST_F(Check, UnbalancedClassesAgainstTheMedian) {
  for (const auto& [name, count] :
       std::vector<std::pair<std::string, int>>{{"a", 1}, {"b", 11}, {"c", 11}, {"d", 111}})
    for (int i = 0; i < count; ++i)
      image("train/" + name + "/" + std::to_string(i) + ".png", i + 7, 20, 20 + name[0] - 'a');
  EXPECT_EQ(found(check()), (Found{{"unbalanced", "a"}, {"unbalanced", "d"}}));
}

TEST_F(Check, AFolderWithoutValIsDividedAsTrainingDoes) {
  for (int i = 0; i < 10; ++i) {
    image("ant/" + std::to_string(i) + ".png", i + 1);
    image("bee/" + std::to_string(i) + ".png", i + 20);
  }
  const auto val = testing::names_of(*testing::open(folder_.path(), "val"));
  const auto train = testing::names_of(*testing::open(folder_.path(), "train"));
  ASSERT_FALSE(val.empty());
  // A copy in place of an image of the other part, so that the parts stay as they are.
  fs::copy_file(*train.begin(), *val.begin(), fs::copy_options::overwrite_existing);
  const CheckResult result = check();
  EXPECT_TRUE(result.undivided);
  EXPECT_EQ(only(result, FindingKind::kLeak).file, *val.begin());
  EXPECT_EQ(result.images, 20);
}

TEST_F(Check, RawDataIsCheckedToo) {
  Bytes images = testing::make_idx({4, 20, 20});
  std::copy_n(images.begin() + 16, 400, images.begin() + 16 + 400);  // image 1 is image 0
  for (const std::string part : {"train", "t10k"}) {
    folder_.bytes(part + "-images-idx3-ubyte", images);
    folder_.bytes(part + "-labels-idx1-ubyte", testing::make_idx({4}, 2));
  }
  const CheckResult result = check();
  EXPECT_EQ(result.images, 8);
  EXPECT_EQ(result.formats, (std::map<std::string, int64_t>{{"raw", 8}}));
  EXPECT_EQ(result.count(FindingKind::kLeak), 4);  // all of t10k
  EXPECT_FALSE(result.stops_training());
}

TEST_F(Check, FindingsDoNotDependOnTheThreads) {
  clean();
  for (int i = 0; i < 40; ++i) {
    image("train/ant/" + std::to_string(i) + ".png", i % 7 + 50, 8);
    folder_.text("val/bee/" + std::to_string(i) + ".jpg", "bad");
  }
  const auto list = [&](int threads) {
    std::vector<std::string> lines;
    for (const Finding& f : check(threads).findings)
      lines.push_back(std::string(finding_name(f.kind)) + f.file + f.detail);
    return lines;
  };
  const auto alone = list(1);
  EXPECT_GT(alone.size(), 40u);
  EXPECT_EQ(list(5), alone);
}

TEST_F(Check, SaysHowFarItIs) {
  clean();
  CheckOptions options;
  options.data.root = folder_.path();
  std::pair<int64_t, int64_t> last;
  options.progress = [&](int64_t done, int64_t total) { last = {done, total}; };
  check_dataset(options);
  EXPECT_EQ(last, (std::pair<int64_t, int64_t>{4, 4}));
}

TEST_F(Check, NothingThereIsAnError) {
  testing::expect_error([&] { check(); }, {folder_.path().string()});
  CheckOptions options;
  options.data.root = folder_.path() / "missing";
  testing::expect_error([&] { check_dataset(options); }, {"missing", "no such"});
}

}  // namespace
}  // namespace nestvit

// Flat validation images: the forms of labels, where they are found, and which class is which.
#include "data/formats/imagenet.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;

// Four images with official names, of the classes b, a, c, a; a, b, c are synsets in sorted order.
const std::string kA = "n01440764", kB = "n01443537", kC = "n02119789";
const std::vector<int> kLabels = {1, 0, 2, 0};

std::string official(int number) {
  char text[48];
  std::snprintf(text, sizeof text, "ILSVRC2012_val_%08d.JPEG", number);
  return text;
}

void add_images(const DataDir& folder, const std::string& under, int count = 4) {
  for (int i = 1; i <= count; ++i) folder.text(under + "/" + official(i), "not read here");
}

std::vector<int> labels_of(const Dataset& dataset) {
  std::vector<int> labels;
  for (int64_t i = 0; i < dataset.size(); ++i) labels.push_back(dataset.label(i));
  return labels;
}

std::string by_file(const std::vector<std::string>& labels, const std::string& between = " ") {
  std::string text;
  for (size_t i = labels.size(); i > 0; --i)  // order does not matter
    text += official(static_cast<int>(i)) + between + labels[i - 1] + "\n";
  return text;
}

std::unique_ptr<Dataset> open_with(const fs::path& root, const fs::path& labels,
                                   const std::string& split = "val",
                                   const fs::path& class_map = {}) {
  DatasetOptions options;
  options.root = root;
  options.split = split;
  options.labels_file = labels;
  options.class_map = class_map;
  return open_dataset(options);
}

TEST(FlatVal, EveryFormOfLabels) {
  DataDir folder;
  add_images(folder, "val");
  const std::string kaggle = "ImageId,PredictionString\r\nILSVRC2012_val_00000002," + kA +
                             " 85 1 499 272 \r\nILSVRC2012_val_00000001," + kB +
                             " 1 2 3 4 n00000000 5 6 7 8\r\nILSVRC2012_val_00000003," + kC +
                             " 1 2 3 4\r\nILSVRC2012_val_00000004," + kA + " 1 2 3 4\r\n";
  for (const std::string& text :
       {by_file({kB, kA, kC, kA}), by_file({kB, kA, kC, kA}, "\t"), by_file({kB, kA, kC, kA}, ", "),
        by_file({"1", "0", "2", "0"}), "filename,label\n" + by_file({"1", "0", "2", "0"}, ","),
        kaggle, kB + "\n" + kA + "\n" + kC + "\n" + kA + "\n",
        kB + "\r\n\n" + kA + "\r\n" + kC + "\r\n" + kA + "\r\n\r\n"}) {
    const auto dataset = open_with(folder.path(), folder.text("labels.txt", "\xEF\xBB\xBF" + text));
    EXPECT_EQ(labels_of(*dataset), kLabels) << text;
    EXPECT_EQ(dataset->kind(), "labelled images");
    EXPECT_EQ(dataset->name(1), (folder.path() / "val" / official(2)).string());
    EXPECT_EQ(dataset->classes().size(), 3u);
  }
}

TEST(FlatVal, FoundBesideTheImages) {
  for (const std::string place : {"", "val/"})
    for (const std::string name :
         {"LOC_val_solution.csv", "val.txt", "imagenet_2012_validation_synset_labels.txt"})
      for (const std::string root : {"", "val"}) {
        DataDir folder;
        add_images(folder, "val");
        folder.text(place + name, name.starts_with("imagenet")
                                      ? kB + "\n" + kA + "\n" + kC + "\n" + kA
                                      : by_file({kB, kA, kC, kA}));
        const auto dataset = open(folder.path() / root, "val");
        EXPECT_EQ(labels_of(*dataset), kLabels) << place << name << " " << root;
        EXPECT_THAT(dataset->classes(), ElementsAre(kA, kB, kC));
      }
}

TEST(FlatVal, AsKagglePacksIt) {
  DataDir folder;
  const std::string inside = "ILSVRC/Data/CLS-LOC/";
  add_images(folder, inside + "val");
  for (const auto& synset : {kA, kB, kC}) folder.text(inside + "train/" + synset + "/1.JPEG", "x");
  folder.text(inside + "test/x.JPEG", "x");
  folder.text("LOC_val_solution.csv",
              "ImageId,PredictionString\n" + by_file({kB, kA, kC, kA}, ","));
  folder.text("LOC_synset_mapping.txt", kA + " tench\n" + kB + " goldfish\n" + kC + " kit fox\n");
  for (const auto& root :
       {folder.path(), folder.path() / inside, folder.path() / "ILSVRC/Data/CLS-LOC/val"})
    EXPECT_EQ(labels_of(*open(root, "val")), kLabels) << root;
  EXPECT_EQ(open(folder.path())->size(), 3);
  // As Kaggle's notebooks sort it: class folders in val/ too.
  fs::remove_all(folder.path() / inside / "val");
  folder.text(inside + "val/" + kB + "/1.JPEG", "x");
  folder.text(inside + "val/" + kB + "/2.JPEG", "x");
  EXPECT_THAT(labels_of(*open(folder.path(), "val")), ElementsAre(1, 1));
}

TEST(FlatVal, ClassesComeFromTrain) {
  DataDir folder;
  add_images(folder, "val");
  for (const auto& synset : {kA, kB, kC, std::string("n01484850")})
    for (int i = 0; i < 10; ++i)
      folder.text("train/" + synset + "/" + std::to_string(i) + ".JPEG", "x");
  folder.text("val.txt", by_file({kB, kA, kC, kA}));
  EXPECT_EQ(open(folder.path())->size(), 40) << "val/ is there: nothing is held out of train/";
  const auto val = open(folder.path(), "val");
  EXPECT_EQ(val->classes(), open(folder.path())->classes());
  EXPECT_THAT(labels_of(*val), ElementsAre(1, 0, 3, 0));
  folder.text("val.txt", by_file({"1", "0", "3", "0"}));
  EXPECT_THAT(labels_of(*open(folder.path(), "val")), ElementsAre(1, 0, 3, 0));
  folder.text("val.txt", by_file({"1", "0", "4", "0"}));
  expect_error([&] { open(folder.path(), "val"); }, {"'4'", "4 classes", "start at 0"});
  folder.text("val.txt", by_file({kB, kA, "n99999999", kA}));
  expect_error([&] { open(folder.path(), "val"); }, {official(3), "'n99999999'", "4 classes"});
  fs::remove(folder.path() / "val.txt");
  expect_error([&] { open(folder.path(), "val"); },
               {"val: 4 images without class folders", "LOC_val_solution.csv", "--labels"});
}

TEST(FlatVal, ClassesComeFromAMap) {
  DataDir folder;
  add_images(folder, "val");
  const auto labels = folder.text("val.txt", by_file({kB, kA, kC, kA}));
  const auto map =
      folder.text("map.txt", kC + " kit fox, Vulpes\n" + kA + " tench\n" + kB + " goldfish\n");
  const auto named = open_with(folder.path(), labels, "val", map);
  EXPECT_THAT(named->classes(), ElementsAre("kit fox", "tench", "goldfish"));
  EXPECT_THAT(labels_of(*named), ElementsAre(2, 1, 0, 1));
  // The same words on a list beside the images name the ids only: class folders have no words.
  folder.text("synset_words.txt",
              kA + " tench\n" + kB + " goldfish\n" + kC + " kit fox\n" + "n03000000 never seen\n");
  EXPECT_THAT(open(folder.path(), "val")->classes(), ElementsAre(kA, kB, kC, "n03000000"));
  folder.text("map.txt", "tench\ngoldfish\nkit fox\n");
  folder.text("val.txt", by_file({"goldfish", "tench", "kit fox", "tench"}));
  EXPECT_EQ(labels_of(*open_with(folder.path(), labels, "val", folder.path() / "map.txt")),
            kLabels);
}

TEST(FlatVal, IlsvrcIdsNeedTheirSynsets) {
  DataDir folder;
  add_images(folder, "val");
  folder.text("ILSVRC2012_validation_ground_truth.txt", "3\n2\n1\n2\n");
  expect_error([&] { open(folder.path(), "val"); },
               {"ground_truth.txt", "ILSVRC ids", "map_clsloc.txt"});
  // Kaggle's mapping is in the order of the synsets, not of the ids: it does not help.
  folder.text("LOC_synset_mapping.txt", kA + " tench\n" + kB + " goldfish\n" + kC + " kit fox\n");
  expect_error([&] { open(folder.path(), "val"); }, {"map_clsloc.txt"});
  folder.text("map_clsloc.txt", kC + " 1 kit_fox\n" + kA + " 2 tench\n" + kB + " 3 goldfish\n");
  const auto dataset = open(folder.path(), "val");
  EXPECT_EQ(labels_of(*dataset), kLabels);
  EXPECT_THAT(dataset->classes(), ElementsAre(kA, kB, kC));
  folder.text("ILSVRC2012_validation_ground_truth.txt", "3\n0\n1\n2\n");
  expect_error([&] { open(folder.path(), "val"); }, {"id 0", "1 to 3"});
}

TEST(FlatVal, APartOfTheImages) {
  DataDir folder;
  for (int i : {2, 4}) folder.text("val/" + official(i), "x");
  const auto lines = folder.text("lines.txt", kB + "\n" + kA + "\n" + kC + "\n" + kA + "\n");
  EXPECT_THAT(labels_of(*open_with(folder.path(), lines)), ElementsAre(0, 0));
  const auto list = folder.text("list.txt", by_file({kB, kA, kC, kA}));
  EXPECT_THAT(labels_of(*open_with(folder.path(), list)), ElementsAre(0, 0));
  folder.text("val/" + official(9), "x");
  expect_error([&] { open_with(folder.path(), list); }, {"no line for", official(9)});
  expect_error([&] { open_with(folder.path(), lines); }, {"4 labels for 3 images"});
  // Other names: only their order can tell.
  DataDir other;
  for (const char* name : {"x.jpg", "a.png", "k.webp", "b.JPEG"}) other.text(name, "x");
  EXPECT_EQ(labels_of(*open_with(other.path(), lines)), kLabels);
}

TEST(FlatVal, Errors) {
  DataDir folder;
  add_images(folder, "val");
  const auto labels = folder.text("l.txt", by_file({kB, kA, kC, kA}));
  expect_error([&] { open_with(folder.path(), labels, "train"); }, {"no train/"});
  expect_error([&] { open_with(folder.path(), folder.path() / "gone.txt"); }, {"gone.txt"});
  expect_error<UsageError>(
      [&] {
        DatasetOptions options;
        options.root = folder.path();
        options.name = "cifar10";
        options.labels_file = labels;
        open_dataset(options);
      },
      {"'cifar10'", "--labels"});
  DataDir sorted;
  for (const char* name : {"train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg"})
    sorted.text(name, "x");
  DatasetOptions options;
  options.root = sorted.path();
  options.name = "imagenet";
  options.split = "val";
  EXPECT_EQ(open_dataset(options)->kind(), "image folder");
  options.labels_file = labels;
  expect_error([&] { open_dataset(options); }, {"no folder of images", "l.txt"});
  DataDir empty;
  expect_error([&] { open(empty.path(), "val", "imagenet"); },
               {"no ImageNet there", "train/", "labels", "CLS-LOC", "imagenet2012"});
  expect_error([&] { open(folder.path(), "val"); }, {"val has no class folders", "--labels"});
  expect_error([&] { open(folder.path(), "val", "imagenet"); },
               {"4 images without class folders", "val.txt"});
  // A file of labels is not a list of classes, whatever it is called.
  const auto synsets = folder.text("synsets.txt", by_file({kB, kA, kC, kA}));
  EXPECT_EQ(labels_of(*open_with(folder.path(), synsets)), kLabels);
}

TEST(ImageLabelsHostile, NamesTheLine) {
  expect_error([] { parse_image_labels("", "l.txt"); }, {"l.txt", "no labels"});
  expect_error([] { parse_image_labels("file label\n\n", "l.txt"); }, {"no labels"});
  expect_error([] { parse_image_labels("a.jpg 1\n\nb.jpg\n", "l.txt"); }, {"line 3", "one word"});
  expect_error([] { parse_image_labels("5\nb.jpg 1\n", "l.txt"); }, {"line 2", "labels alone"});
  expect_error([] { parse_image_labels("a.jpg 1\nval/a.JPEG 2\n", "l.txt"); },
               {"line 2", "second time"});
  const auto labels = parse_image_labels("x/y/a.b.jpg great white shark\nc ,, 7", "l.txt");
  EXPECT_THAT(labels.files, ElementsAre("a.b", "c"));
  EXPECT_THAT(labels.labels, ElementsAre("great white shark", "7"));
  EXPECT_FALSE(labels.numbers);
  EXPECT_FALSE(parse_image_labels("-1\n", "l.txt").numbers);
}

TEST(SynsetIds, EveryIdOnce) {
  EXPECT_THAT(parse_synset_ids("n02119789 1 kit_fox\r\n2 n01440764\n", "m"), ElementsAre(kC, kA));
  for (const char* text :
       {"", "n02119789\n", "n02119789 0\n", "n02119789 x\n", "n02119789 2\n", "x 1\n",
        "n02119789 1\nn01440764 1\n", "n02119789 1\nn02119789 2\n", "n02119789 99999999999\n"})
    expect_error([&] { parse_synset_ids(text, "m.txt"); }, {"m.txt"});
}

}  // namespace
}  // namespace nestvit

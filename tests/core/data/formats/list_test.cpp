// Lists as data: labels, classes and splits.
#include "data/formats/list.h"

#include <fmt/format.h>

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ListDataset : public ::testing::Test {
 protected:
  ListDataset() {
    for (int i = 0; i < 10; ++i)
      folder.png("img/" + std::to_string(i) + ".png", static_cast<uint8_t>(i));
  }
  // Rows of images begin .. end - 1; the label of image i is labels[i % labels.size()].
  std::string rows(int begin, int end, const std::vector<std::string>& labels) const {
    std::string text;
    for (int i = begin; i < end; ++i)
      text += "img/" + std::to_string(i) + ".png," + labels[i % labels.size()] + "\n";
    return text;
  }
  DataDir folder;
};

TEST_F(ListDataset, OneListIsSplit) {
  const auto list = folder.text("all.csv", rows(0, 10, {"dog", "cat"}));
  const auto train = open(list), val = open(list, "val");
  EXPECT_EQ(train->kind(), "list");
  EXPECT_THAT(train->classes(), ElementsAre("cat", "dog"));
  EXPECT_EQ(counts_of(*train), (std::map<std::string, int>{{"cat", 4}, {"dog", 4}}));
  EXPECT_EQ(counts_of(*val), (std::map<std::string, int>{{"cat", 1}, {"dog", 1}}));
  auto all = names_of(*train);
  all.merge(names_of(*val));
  EXPECT_EQ(all.size(), 10u);
  EXPECT_EQ(names_of(*open(list)), names_of(*train));
  expect_error([&] { open(list, "test"); }, {"no test.csv"});
}

TEST_F(ListDataset, ReadsWhatItNames) {
  const auto list = folder.text("all.csv", rows(0, 10, {"dog", "cat"}));
  const auto train = open(list);
  const Sample sample = train->get(0);
  EXPECT_EQ(sample.name, train->name(0));
  const Image image = decode_image(sample.encoded, {}, sample.name);
  EXPECT_EQ(std::to_string(image.pixels[0]) + ".png", fs::path(sample.name).filename());
  EXPECT_EQ(train->classes().at(sample.label), image.pixels[0] % 2 ? "cat" : "dog");
}

TEST_F(ListDataset, FolderWithLists) {
  folder.text("train.csv", "path,label\n" + rows(0, 6, {"dog", "cat", "emu"}));
  folder.text("valid.csv", rows(6, 8, {"emu"}));
  folder.text("test.csv", rows(8, 10, {"dog"}));
  EXPECT_EQ(open(folder.path())->size(), 6);
  const auto val = open(folder.path(), "val");
  EXPECT_EQ(val->size(), 2);
  EXPECT_EQ(val->label(0), 2);  // as in the training list, though val has one class only
  EXPECT_EQ(open(folder.path(), "test")->size(), 2);
  folder.text("valid.csv", rows(6, 8, {"emmu"}));
  expect_error([&] { open(folder.path(), "val"); },
               {"valid.csv line 1", "'emmu'", "did you mean 'emu'?"});
}

TEST_F(ListDataset, BlanksMakeNoClasses) {
  const auto list =
      folder.text("all.csv", rows(0, 10, {"cat", " cat", "dog ", "\"dog\"", "\tdog"}));
  EXPECT_THAT(open(list)->classes(), ElementsAre("cat", "dog"));
  EXPECT_THAT(open(list)->not_read(), IsEmpty());
  // Numbers stay numbers.
  folder.text("all.csv", rows(0, 10, {" 1", "0 "}));
  EXPECT_THAT(open(list)->classes(), ElementsAre("0", "1"));
}

TEST_F(ListDataset, ClassesThatLookAlikeAreNamed) {
  const auto list = folder.text("all.csv", rows(0, 10, {"Cat", "cat", "caf\u00e9", "cafe\u0301"}));
  const auto train = open(list);
  EXPECT_THAT(train->classes(), ElementsAre("caf\u00e9", "Cat", "cat"));
  ASSERT_THAT(train->not_read(), SizeIs(2));
  EXPECT_THAT(train->not_read()[0].text,
              AllOf(HasSubstr("all.csv"), HasSubstr("Unicode forms"), HasSubstr("(line 4)")));
  EXPECT_THAT(train->not_read()[1].text, AllOf(HasSubstr("all.csv"), HasSubstr("'Cat' and 'cat'")));
  for (const NotRead& note : train->not_read()) EXPECT_FALSE(note.expected);
  folder.text("train.csv", rows(0, 6, {"dog", "cat"}));
  for (const auto& [label, close] :
       {std::pair("DOG", "did you mean 'dog'?"), {"fox", "class map"}}) {
    folder.text("val.csv", rows(6, 8, {label}));
    expect_error([&] { open(folder.path(), "val"); }, {"val.csv line 1", label, close});
  }
}

TEST_F(ListDataset, ColumnDividesTheList) {
  // Two of the six images for training are dogs, one of the three for testing is a class of its
  // own.
  std::string text = "split,file,species,age\n";
  const char* parts[] = {"train", "Train", "training", "train", "TRAIN",
                         "train", "test",  "Val",      "test",  "test"};
  const char* labels[] = {"cat", "dog", "cat", "dog", "cat", "cat", "fox", "dog", "cat", "cat"};
  for (int i = 0; i < 10; ++i) text += fmt::format("{},img/{}.png,{},7\n", parts[i], i, labels[i]);
  const auto list = folder.text("all.csv", text);
  for (const fs::path& root : {list, folder.path()}) {
    const auto train = open(root, "train", "csv"), val = open(root, "val", "csv");
    EXPECT_EQ(counts_of(*train), (std::map<std::string, int>{{"cat", 4}, {"dog", 2}}));
    EXPECT_EQ(counts_of(*val), (std::map<std::string, int>{{"dog", 1}}));
    EXPECT_THAT(val->name(0), EndsWith("img/7.png"));
    ASSERT_THAT(val->not_read(), SizeIs(1));
    EXPECT_THAT(val->not_read()[0].text, HasSubstr("not read: age"));
    EXPECT_EQ(val->not_read()[0].text, train->not_read()[0].text);
  }
  expect_error([&] { open(list, "test"); }, {"all.csv line 8", "unknown class 'fox'"});
}

TEST_F(ListDataset, WithoutRowsForValidationTheOthersAreDivided) {
  std::string text = "path,label,split\n";
  for (int i = 0; i < 10; ++i)
    text += fmt::format("img/{}.png,{},{}\n", i, i % 2 ? "cat" : "dog", i < 6 ? "train" : "test");
  const auto list = folder.text("all.csv", text);
  EXPECT_EQ(open(list)->size(), 4);
  EXPECT_EQ(open(list, "val")->size(), 2);
  EXPECT_EQ(open(list, "test")->size(), 4);
  for (const auto& name : names_of(*open(list, "val")))
    EXPECT_LT(name, (folder.path() / "img/6.png"));
  folder.text("all.csv", "path,label,split\nimg/0.png,cat,val\nimg/1.png,dog,val\n");
  expect_error([&] { open(list); }, {"all.csv", "no row is of the part 'train'", "'split'"});
  EXPECT_EQ(open(list, "val")->size(), 2);
}

TEST_F(ListDataset, ColumnMayNotContradictTheNameOfTheList) {
  folder.text("train.csv",
              "path,label,split\nimg/0.png,cat,train\nimg/1.png,dog,val\nimg/2.png,dog,train\n");
  EXPECT_EQ(open(folder.path(), "val")->size(), 1);
  folder.text("val.csv", "path,label,split\nimg/3.png,cat,val\n");
  EXPECT_EQ(open(folder.path(), "val")->size(), 1);
  expect_error([&] { open(folder.path()); }, {"train.csv line 3", "'split' says 'val'"});
}

TEST_F(ListDataset, NamesOfListsInAnyCase) {
  folder.text("Train.CSV", rows(0, 6, {"dog", "cat"}));
  folder.text("VAL.csv", rows(6, 8, {"dog"}));
  EXPECT_EQ(open(folder.path())->size(), 6);
  EXPECT_EQ(open(folder.path(), "val")->size(), 2);
}

TEST_F(ListDataset, ListsThatAreNotReadAreNamed) {
  const auto train = folder.text("train.csv", rows(0, 6, {"dog", "cat"}));
  folder.text("val.csv", rows(6, 8, {"dog"}));
  folder.text("extra.csv", rows(0, 2, {"dog", "cat"}));
  ASSERT_THAT(open(folder.path())->not_read(), SizeIs(1));
  EXPECT_THAT(open(folder.path())->not_read()[0].text, HasSubstr("not read: extra.csv"));
  // The list that is named is all that is read.
  ASSERT_THAT(open(train)->not_read(), SizeIs(1));
  EXPECT_THAT(open(train)->not_read()[0].text, HasSubstr("val.csv is not read: give the folder"));
  EXPECT_FALSE(open(train)->not_read()[0].expected);
}

TEST_F(ListDataset, PathsOfWindows) {
  const auto list = folder.text("all.csv", "img\\0.png,cat\nimg\\1.png,dog\n");
  EXPECT_EQ(open(list)->name(0), (folder.path() / "img/0.png").string());
}

TEST_F(ListDataset, IntegerLabels) {
  const auto list = folder.text("all.csv", rows(0, 10, {"1", "0"}));
  EXPECT_THAT(open(list)->classes(), ElementsAre("0", "1"));
  EXPECT_EQ(open(list)->label(0), open(list)->name(0).ends_with("0.png") ? 1 : 0);
  folder.text("all.csv", rows(0, 10, {"10", "0", "2"}));
  expect_error([&] { open(list); }, {"8 of 11 classes have no image", "'1'"});
  folder.text("all.csv", rows(0, 10, {"-1", "0"}));
  expect_error([&] { open(list); }, {"line 1", "label -1"});
  folder.text("all.csv", rows(0, 10, {"0", "4000000000"}));
  expect_error([&] { open(list); }, {"line 2", "4000000000"});
  folder.text("all.csv", rows(0, 10, {"007", "010"}));  // names, not numbers
  EXPECT_THAT(open(list)->classes(), ElementsAre("007", "010"));
}

TEST_F(ListDataset, ClassMapTakesNamesAndIndices) {
  DatasetOptions options;
  options.root = folder.text("all.csv", rows(0, 10, {"1", "dog"}));
  options.class_map = folder.text("map.txt", "dog\ncat\n");
  EXPECT_EQ(counts_of(*open_dataset(options)),
            (std::map<std::string, int>{{"cat", 4}, {"dog", 4}}));
  folder.text("all.csv", rows(0, 10, {"2", "dog"}));
  expect_error([&] { open_dataset(options); }, {"all.csv line 1", "'2'", "2 classes"});
}

TEST_F(ListDataset, ExplainsWhatIsWrong) {
  const auto list = folder.text("all.csv", "gone/a.png,cat\ngone/b.png,dog\n");
  expect_error([&] { open(list); }, {"line 1", "gone/a.png", "relative to the folder of the list"});
  DataDir test_only;
  test_only.text("test.csv", "a.png,cat\nb.png,dog\n");
  expect_error([&] { open(test_only.path(), "train", "csv"); }, {"no train.csv"});
  folder.text("all.csv", rows(0, 10, {"cat"}));
  expect_error([&] { open(list); }, {"only one class, 'cat'"});
  folder.text("all.csv", "\n");
  expect_error([&] { open(list); }, {"no rows"});
  expect_error([&] { open(folder.path() / "img", "train", "csv"); }, {"no train.csv"});
}

}  // namespace
}  // namespace nestvit

// Lists: the CSV parser, labels, splits, and hostile input.
#include "data/formats/list.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;

std::vector<std::string> flat(const std::vector<ListRow>& rows) {
  std::vector<std::string> all;
  for (const auto& row : rows)
    all.push_back(row.path + "|" + row.label + "|" + std::to_string(row.line));
  return all;
}

TEST(ListParser, RowsAndHeaders) {
  EXPECT_THAT(flat(parse_list("a.png,cat\nb.png,dog\n", ',', "l")),
              ElementsAre("a.png|cat|1", "b.png|dog|2"));
  EXPECT_THAT(flat(parse_list("path,label\r\na.png,cat\r\n\r\nb.png,dog", ',', "l")),
              ElementsAre("a.png|cat|2", "b.png|dog|4"));
  EXPECT_THAT(flat(parse_list("\xEF\xBB\xBFid;Class;Filename\n7;cat;a.png\n", ';', "l")),
              ElementsAre("a.png|cat|2"));
  EXPECT_THAT(flat(parse_list("label\timage\tx\nc d\ta,b.png\t\n", '\t', "l")),
              ElementsAre("a,b.png|c d|2"));
}

TEST(ListParser, HeaderOfOtherWords) {
  EXPECT_THAT(flat(parse_list("name,breed\na.png,cat\n", ',', "l")), ElementsAre("a.png|cat|2"));
  EXPECT_THAT(flat(parse_list("a,cat\nb,dog\n", ',', "l")), ElementsAre("a|cat|1", "b|dog|2"));
}

TEST(ListParser, Quotes) {
  EXPECT_THAT(flat(parse_list("\"a,1.png\",\"big \"\"cat\"\"\"\n\"two\nlines\",x\nb,y", ',', "l")),
              ElementsAre("a,1.png|big \"cat\"|1", "two\nlines|x|2", "b|y|4"));
  expect_error([] { parse_list("a,b\nc,\"d\ne,f\n", ',', "l.csv"); },
               {"l.csv line 2", "never closed"});
  expect_error([] { parse_list("a,\"b\"c\n", ',', "l.csv"); }, {"l.csv line 1", "closing quote"});
}

TEST(ListParser, ErrorsNameTheLine) {
  expect_error([] { parse_list("a.png,cat\nb.png\n", ',', "l.csv"); },
               {"l.csv line 2", "1 fields, expected 2"});
  expect_error([] { parse_list("a.png,cat\nb,c,dog\n", ',', "l.csv"); },
               {"line 2", "3 fields", "quotes"});
  expect_error([] { parse_list("x,path,label\n1,a,b\n2,c\n", ',', "l.csv"); },
               {"line 3", "at least 3"});
  expect_error([] { parse_list("a,\n", ',', "l.csv"); }, {"line 1", "no label"});
  expect_error([] { parse_list("\n,b\n", ',', "l.csv"); }, {"line 2", "no path"});
}

TEST(ListParser, HostileTextNeverCrashes) {
  const std::string text = "path,label\n\"a,\"\"1\",\"b\"\r\nc,d\n\"e\nf\",g\n";
  for (size_t length = 0; length <= text.size(); ++length)
    for (char c : {'"', ',', '\r', '\n', '\0', '\xff'}) {
      std::string changed = text.substr(0, length) + c;
      try {
        for (const auto& row : parse_list(changed, ',', "l"))
          EXPECT_FALSE(row.path.empty() || row.label.empty());
      } catch (const Error&) {
      }
    }
  expect_error([] { parse_list(std::string("a\0b,c\n", 6), ',', "l"); }, {"zero byte"});
}

TEST(ListParser, Delimiters) {
  EXPECT_EQ(list_delimiter("a.tsv", "a,b"), '\t');
  EXPECT_EQ(list_delimiter("a.csv", "a,b\tc"), ',');
  EXPECT_EQ(list_delimiter("a.csv", "a;b\nc,d"), ';');
  EXPECT_EQ(list_delimiter("a.txt", "a\tb"), '\t');
}

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

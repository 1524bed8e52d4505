// Lists in memory: labels once, the parts of rows, and which columns are not read.
#include "data/formats/list_table.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ListTableTest : public ::testing::Test {
 protected:
  ListTable read(const std::string& text) const { return read_list(folder.text("l.csv", text)); }
  static std::vector<std::string> texts(const std::vector<ListTable::Label>& labels) {
    std::vector<std::string> all;
    for (const auto& [text, line] : labels) all.push_back(text + "|" + std::to_string(line));
    return all;
  }
  DataDir folder;
};

TEST_F(ListTableTest, EveryLabelOnce) {
  const auto list = read("a.png,cat\nb.png, dog\nc.png,cat \n");
  EXPECT_THAT(list.labels, ElementsAre(0, 1, 0));
  EXPECT_THAT(texts(list.texts), ElementsAre("cat|1", "dog|2"));
  EXPECT_EQ(list.line, 1);
  EXPECT_THAT(list.parts, IsEmpty());
  EXPECT_THAT(list.not_read, IsEmpty());
  expect_error([&] { read("a.png,caf\xe9\n"); }, {"l.csv line 1", "not UTF-8"});
}

TEST_F(ListTableTest, PartsInAnyCaseAndTheirSynonyms) {
  const auto list = read(
      "path,label,Split\na.png,cat,TEST\nb.png,dog,Train\nc.png,emu, training\nd.png,cat,valid\n"
      "e.png,cat,Validation \n");
  using enum Split;
  EXPECT_THAT(list.parts, ElementsAre(kTest, kTrain, kTrain, kVal, kVal));
  EXPECT_EQ(list.part_column, "Split");
  EXPECT_THAT(texts(training_labels(list)), ElementsAre("dog|3", "emu|4"));
  const auto val = part_of(list, kVal);
  EXPECT_EQ(val.paths.at(1), "e.png");
  EXPECT_THAT(val.labels, ElementsAre(0, 0));
  EXPECT_THAT(texts(val.texts), ElementsAre("cat|2"));
  EXPECT_EQ(val.line, 5);
}

TEST_F(ListTableTest, FlagOfValidation) {
  using enum Split;
  EXPECT_THAT(read("fname,labels,is_valid\na.png,cat,True\nb.png,dog,False\n").parts,
              ElementsAre(kVal, kTrain));
  EXPECT_THAT(read("fname,labels,is_valid\na.png,cat,0\nb.png,dog,1\n").parts,
              ElementsAre(kTrain, kVal));
}

TEST_F(ListTableTest, ColumnThatHoldsNoPartsIsNotRead) {
  const auto list = read("path,label,fold\na.png,cat,0\nb.png,dog,1\n");
  EXPECT_THAT(list.parts, IsEmpty());
  ASSERT_THAT(list.not_read, SizeIs(1));
  EXPECT_FALSE(list.not_read[0].expected);
  EXPECT_THAT(list.not_read[0].text, HasSubstr("the column 'fold' is not read: it holds '0'"));
}

TEST_F(ListTableTest, PartThatIsNoneIsAnError) {
  expect_error([&] { read("path,label,split\na.png,cat,train\nb.png,dog,tset\n"); },
               {"l.csv line 3", "'tset'", "'split'", "train", "test"});
  expect_error([&] { read("path,label,split\na.png,cat,\nb.png,dog,val\n"); },
               {"l.csv line 2", "''", "'split'"});
  expect_error([&] { read("path,label,is_valid\na.png,cat,true\nb.png,dog,maybe\n"); },
               {"l.csv line 3", "'maybe'", "true or false"});
}

TEST_F(ListTableTest, OtherColumnsAreNamed) {
  const auto list = read("id,path,width,label,set\n1,a.png,30,cat,train\n");
  ASSERT_THAT(list.not_read, SizeIs(1));
  EXPECT_TRUE(list.not_read[0].expected);
  EXPECT_THAT(list.not_read[0].text,
              HasSubstr("columns that are not read: id, width (path is 'path', label is 'label', "
                        "part is 'set')"));
  std::string header = "path,label", row = "a.png,cat";
  for (int i = 0; i < 40; ++i) header += ",c" + std::to_string(i), row += ",1";
  EXPECT_THAT(read(header + "\n" + row + "\n").not_read.at(0).text, HasSubstr("c11 and 28 more"));
}

}  // namespace
}  // namespace nestvit

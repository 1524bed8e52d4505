// The parser of lists: rows, quotes and blanks, which columns are read, and hostile input.
#include "data/formats/list_rows.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "support/errors.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> flat(const std::vector<ListRow>& rows) {
  std::vector<std::string> all;
  for (const auto& row : rows)
    all.push_back(row.path + "|" + row.label + "|" + std::to_string(row.line));
  return all;
}

// The columns of a list of one row or more.
ListColumns columns_of(const std::string& text) {
  ListColumns columns;
  each_row(text, ',', "l.csv", [&](const ListRow&, const ListColumns& its) { columns = its; });
  return columns;
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

TEST(ListParser, BlanksAroundFields) {
  const auto plain = ElementsAre("a.png|cat|1", "b.png|big cat|2", "c.png|dog|3");
  EXPECT_THAT(flat(parse_list("a.png, cat\n b.png ,big cat \nc.png,\tdog\t\n", ',', "l")), plain);
  EXPECT_THAT(flat(parse_list("a.png,cat \r\nb.png, big cat\r\nc.png,dog \r\n", ',', "l")), plain);
  EXPECT_THAT(flat(parse_list("a.png\t cat\nb.png \tbig cat\n c.png\tdog ", '\t', "l")), plain);
  EXPECT_THAT(flat(parse_list("a.png;\u00a0cat\nb.png;big cat\u3000\nc.png;dog\ufeff", ';', "l")),
              plain);
  // Quotes: blanks beside them, and in those of a label.
  EXPECT_THAT(
      flat(parse_list("\"a.png\", \"cat\"\n\"b.png\" , \" big cat \"\nc.png,\"dog\" \n", ',', "l")),
      plain);
  EXPECT_THAT(flat(parse_list("\" a.png\",cat\n", ',', "l")), ElementsAre(" a.png|cat|1"));
  EXPECT_THAT(flat(parse_list(" Path , Label \n a.png , cat \n", ',', "l")),
              ElementsAre("a.png|cat|2"));
}

TEST(ListParser, EmptyRowsAndFieldsOfSpreadsheets) {
  EXPECT_THAT(flat(parse_list(" \na.png,cat,,\n,,\n \t\nb.png,dog\n,\n", ',', "l")),
              ElementsAre("a.png|cat|2", "b.png|dog|5"));
  EXPECT_THAT(flat(parse_list("path,label\na.png,cat,,\n", ',', "l")), ElementsAre("a.png|cat|2"));
  EXPECT_THAT(flat(parse_list("sep=;\r\npath;label\r\na.png;cat\r\n", ';', "l")),
              ElementsAre("a.png|cat|3"));
}

TEST(ListParser, ColumnsAreFoundByTheirNames) {
  for (const char* header :
       {"path,label", "Filename,Class", "FILE NAME,class-name", "image_path,Species", "img,target",
        "filepaths,labels", "image,category", "image_id,breed", "image,other", "other,label"})
    EXPECT_THAT(flat(parse_list(std::string(header) + "\na.png,cat\n", ',', "l")),
                ElementsAre("a.png|cat|2"))
        << header;
  for (const char* header : {"label,path", "Species,Image Path", "class,other", "other,filename"})
    EXPECT_THAT(flat(parse_list(std::string(header) + "\ncat,a.png\n", ',', "l")),
                ElementsAre("a.png|cat|2"))
        << header;
  // The order of the rule decides, not that of the columns.
  const auto columns = columns_of("image,class,,path,label,image\nx,y,0,a.png,cat,z\n");
  EXPECT_EQ(columns.path, "path");
  EXPECT_EQ(columns.label, "label");
  EXPECT_THAT(columns.rest, ElementsAre("image", "class", "number 3", "image"));
  // pandas writes its index first.
  EXPECT_THAT(flat(parse_list(",name,species\n0,a.png,cat\n", ',', "l")),
              ElementsAre("a.png|cat|2"));
}

TEST(ListParser, DocsNameTheColumns) {
  std::ifstream file(std::filesystem::path(NESTVIT_SOURCE_DIR) / "docs/data.md");
  const std::string page(std::istreambuf_iterator<char>(file), {});
  std::string rule = column_rule();
  int lists = 0;
  for (const std::string called = "called "; rule.find(called) != std::string::npos; ++lists) {
    rule.erase(0, rule.find(called) + called.size());
    std::string names = "`" + rule.substr(0, rule.find(';')) + "`";
    for (size_t at = 0; (at = names.find(", ", at)) != std::string::npos; at += 4)
      names.replace(at, 2, "`, `");
    EXPECT_THAT(page, HasSubstr(names));
  }
  EXPECT_EQ(lists, 3);
}

TEST(ListParser, NamesOfClassesAreNoHeader) {
  EXPECT_THAT(flat(parse_list("a.png,target\nb.png,image\n", ',', "l")),
              ElementsAre("a.png|target|1", "b.png|image|2"));
}

TEST(ListParser, ColumnOfParts) {
  const auto parts = [](const std::string& text) {
    std::string all;
    for (const auto& row : parse_list(text, ',', "l")) all += row.part + "|" + row.label + " ";
    return all;
  };
  for (const char* name : {"split", "Set", "SUBSET", "fold", "data set", "partition", "is_valid"})
    EXPECT_EQ(parts(fmt::format("path,label,{}\na.png,cat, x \n", name)), "x|cat ") << name;
  EXPECT_EQ(parts("fold,split,path,label\n1,val,a.png,cat\n"), "val|cat ");
  EXPECT_EQ(parts("split,name,kind\nval,a.png,cat\n"), "val|cat ");
  EXPECT_EQ(parts("path,label,other\na.png,cat,x\n"), "|cat ");
  EXPECT_TRUE(columns_of("path,label,is_valid\na.png,cat,True\n").part_is_flag);
  EXPECT_FALSE(columns_of("path,label,split,is_valid\na.png,cat,val,True\n").part_is_flag);
}

TEST(ListParser, UnclearColumnsAreErrors) {
  expect_error([] { parse_list("id,breed,age\n1,2,3\n", ',', "l.csv"); },
               {"l.csv line 1", "3 columns", "id, breed, age", "path, filepath", "label, class"});
  expect_error([] { parse_list("path,age,weight\na.png,2,3\n", ',', "l.csv"); },
               {"path, age, weight", "label, class"});
  expect_error(
      [] { parse_list("1,a.png,cat\n", ',', "l.csv"); },
      {"l.csv line 1", "3 fields, expected 2", "the first row names them", "label, class"});
  expect_error([] { parse_list("cat,a.png\n", ',', "l.csv"); },
               {"l.csv line 1", "the path is 'cat'", "label,path"});
  expect_error([] { parse_list("path,label\na.png,big, bad cat\n", ',', "l.csv"); },
               {"l.csv line 2", "3 fields, expected the 2", "double quotes"});
  expect_error([] { parse_list(std::string("\xFF\xFEp\0", 4), ',', "l.csv"); },
               {"l.csv is UTF-16", "iconv"});
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
  EXPECT_EQ(list_delimiter("a.csv", "path;label;size, weight\n"), ';');
  EXPECT_EQ(list_delimiter("a.csv", "\"a,1.png\";cat\n"), ';');
  EXPECT_EQ(list_delimiter("a.csv", "\n\npath\tlabel\n"), '\t');
  EXPECT_EQ(list_delimiter("a.csv", "\xEF\xBB\xBFsep=;\r\npath;label"), ';');
  EXPECT_EQ(list_delimiter("a.csv", ""), ',');
}

}  // namespace
}  // namespace nestvit

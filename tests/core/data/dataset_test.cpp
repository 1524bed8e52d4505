// Opening by name or by content, and subsets.
#include "data/dataset.h"

#include "base/file.h"
#include "data/formats/idx.h"
#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(OpenDataset, NamesTheNearest) {
  DataDir folder;
  expect_error<UsageError>([&] { open(folder.path(), "train", "cifra10"); },
                           {"'cifra10'", "did you mean 'cifar10'?"});
  expect_error<UsageError>([&] { open("", "train", "folder"); }, {"no data given", "--data-dir"});
}

TEST(OpenDataset, NamesAreKnownAndInTheDocs) {
  DataDir folder;
  const std::string docs = read_text(fs::path(NESTVIT_SOURCE_DIR) / "docs" / "data.md");
  const std::vector<std::string> names = dataset_names();
  EXPECT_EQ(names.back(), "folder");
  for (const std::string& name : names) {
    EXPECT_THAT(docs, HasSubstr("`" + name + "`"));
    EXPECT_THAT(dataset_names_text(), HasSubstr(name));
    try {
      open(folder.path(), "train", name);
      ADD_FAILURE() << name << " was found in an empty folder";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), Not(HasSubstr("unknown dataset")));
    }
  }
  EXPECT_THAT(dataset_names_text("and"), EndsWith(" and folder"));
}

TEST(OpenDataset, AcceptsSpellings) {
  DataDir folder;
  folder.bytes("test_batch.bin", make_cifar(2, 1, 10));
  for (const auto& name : {"", "cifar10", "torch/cifar10", "torch/CIFAR10"})
    EXPECT_EQ(open(folder.path(), "test", name)->size(), 2);
}

TEST(OpenDataset, AListBesideClassFoldersIsNotTheData) {
  DataDir folder;
  for (const char* name : {"a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"}) folder.text(name, "x");
  folder.text("counts.csv", "class,count\na,2\nb,2\n");
  EXPECT_EQ(open(folder.path())->kind(), "image folder");
  folder.text("train.csv", "a/1.jpg,x\nb/1.jpg,y\n");
  EXPECT_EQ(open(folder.path())->kind(), "list");
  EXPECT_EQ(open(folder.path(), "train", "folder")->kind(), "image folder");
}

TEST(OpenDataset, AnArchiveIsToBeUnpacked) {
  DataDir folder;
  for (const auto& [name, command] :
       std::vector<std::pair<std::string, std::string>>{{"pets.zip", "unzip "},
                                                        {"pets.tar.gz", "tar -xf "},
                                                        {"PETS.TGZ", "tar -xf "},
                                                        {"pets.7z", "7z x "}}) {
    const auto file = folder.text(name, "x");
    expect_error([&] { open(file); }, {"is an archive", command + file.string()});
    const auto inside = folder.text(name + ".dir/" + name, "x");
    expect_error([&] { open(inside.parent_path()); },
                 {"no images", "unpack it first: " + command + inside.string()});
  }
}

TEST(OpenDataset, ClassNamesAreUtf8) {
  DataDir folder;
  for (const char* name : {"a.jpg", "b.jpg"}) folder.text(name, "x");
  folder.text("train.csv", "a.jpg,caf\xe9\nb.jpg,dog\n");
  expect_error([&] { open(folder.path()); }, {"caf\\xE9", "UTF-8", "iconv"});
  DataDir cifar;
  cifar.bytes("test_batch.bin", make_cifar(2, 1, 10));
  cifar.text("batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\ncaf\xe9\n");
  expect_error([&] { open(cifar.path(), "test"); }, {"batches.meta.txt", "line 10", "caf\\xE9"});
}

TEST(OpenDataset, SystemFashionMnist) {
  if (!fs::is_directory(system_fashion_mnist()))
    GTEST_SKIP() << "package dataset-fashion-mnist is not installed";
  const auto train = open("", "train", "fashion-mnist"), test = open("", "val", "fashion-mnist");
  EXPECT_EQ(train->size(), 60000);
  EXPECT_EQ(test->size(), 10000);
  for (const auto& [name, count] : counts_of(*train)) EXPECT_EQ(count, 6000) << name;
  EXPECT_EQ(train->classes().at(train->label(0)), "Ankle boot");  // as its README shows
}

TEST(Subset, ServesTheChosen) {
  DataDir folder;
  folder.bytes("test_batch.bin", make_cifar(9, 1, 10));
  const auto some = subset(open(folder.path(), "test"), {4, 2, 4});
  EXPECT_EQ(some->size(), 3);
  EXPECT_EQ(some->label(0), 4);
  EXPECT_EQ(some->get(1).label, 2);
  EXPECT_EQ(some->name(2), "test/4");
  EXPECT_EQ(some->classes().size(), 10u);
  EXPECT_THROW(subset(open(folder.path(), "test"), {9}), std::logic_error);
}

}  // namespace
}  // namespace nestvit

// Image folders: classes, splits, and everything that can be wrong with them.
#include "data/formats/folder.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void fill(const DataDir& folder, const std::string& under, int count, int begin = 0) {
  for (int i = begin; i < begin + count; ++i)
    folder.text(under + "/" + std::to_string(i) + ".jpg", "not read here");
}

TEST(ImageFolder, TrainAndVal) {
  for (const std::string val : {"val", "valid", "validation", "eval", "evaluation"}) {
    DataDir folder;
    fill(folder, "train/cat", 3);
    fill(folder, "train/dog", 2);
    fill(folder, val + "/dog", 4);  // no cat: fine
    fill(folder, "test/owl", 5);    // never looked at
    const auto train = open(folder.path()), held_out = open(folder.path(), "val");
    EXPECT_EQ(train->kind(), "image folder");
    EXPECT_THAT(train->classes(), ElementsAre("cat", "dog"));
    EXPECT_EQ(counts_of(*train), (std::map<std::string, int>{{"cat", 3}, {"dog", 2}}));
    EXPECT_EQ(counts_of(*held_out), (std::map<std::string, int>{{"dog", 4}}));
    EXPECT_EQ(held_out->classes(), train->classes());
    expect_error([&] { open(folder.path(), "test"); }, {"test/owl", "'owl' is not in"});
  }
}

TEST(ImageFolder, TestOnlyWhenAsked) {
  DataDir folder;
  fill(folder, "train/cat", 10);
  fill(folder, "train/dog", 10);
  fill(folder, "test/cat", 3);
  EXPECT_EQ(open(folder.path())->size(), 16);
  EXPECT_EQ(open(folder.path(), "val")->size(), 4);
  EXPECT_EQ(open(folder.path(), "test")->size(), 3);
  for (const auto& split : {"train", "val"})
    for (const auto& name : names_of(*open(folder.path(), split)))
      EXPECT_THAT(name, HasSubstr("/train/"));
}

TEST(ImageFolder, SeededSplitOfFlatClasses) {
  DataDir folder;
  fill(folder, "a", 50);
  fill(folder, "b", 7);
  fill(folder, "c", 2);
  fill(folder, "d", 1);
  fill(folder, "test/a", 9);
  const auto train = open(folder.path()), val = open(folder.path(), "val");
  EXPECT_EQ(counts_of(*train),
            (std::map<std::string, int>{{"a", 40}, {"b", 6}, {"c", 1}, {"d", 1}}));
  EXPECT_EQ(counts_of(*val), (std::map<std::string, int>{{"a", 10}, {"b", 1}, {"c", 1}}));
  EXPECT_EQ(val->classes().size(), 4u);
  auto all = names_of(*train);
  all.merge(names_of(*val));
  EXPECT_EQ(all.size(), 60u);

  DatasetOptions options;
  options.root = folder.path();
  options.split = "val";
  EXPECT_EQ(names_of(*open_dataset(options)), names_of(*val));
  options.seed = 43;
  EXPECT_NE(names_of(*open_dataset(options)), names_of(*val));
  options.val_share = 0.5;
  EXPECT_EQ(counts_of(*open_dataset(options)).at("a"), 25);
  options.val_share = 1;
  EXPECT_EQ(open_dataset(options)->size(), 60);
  options.val_share = 0;
  expect_error([&] { open_dataset(options); }, {"leaves none to 'val'"});
  options.val_share = 1.5;
  expect_error<UsageError>([&] { open_dataset(options); }, {"1.5"});
}

TEST(ImageFolder, SplitDoesNotDependOnWhereTheFolderIs) {
  DataDir one, two;
  const auto relative = [](const DataDir& folder) {
    std::set<fs::path> names;
    fill(folder, "a", 20);
    fill(folder, "b", 20);
    for (const auto& name : names_of(*open(folder.path(), "val")))
      names.insert(fs::relative(name, folder.path()));
    return names;
  };
  EXPECT_EQ(relative(one), relative(two));
}

TEST(ImageFolder, OrderOfClasses) {
  DataDir folder;
  for (const char* name : {"class10", "class2", "Class1", "zebra"}) fill(folder, name, 2);
  DatasetOptions options;
  options.root = folder.path();
  EXPECT_THAT(open_dataset(options)->classes(),
              ElementsAre("Class1", "class2", "class10", "zebra"));
  options.class_order = ClassOrder::kPlain;
  EXPECT_THAT(open_dataset(options)->classes(),
              ElementsAre("Class1", "class10", "class2", "zebra"));
}

TEST(ImageFolder, TakesImagesAtAnyDepthAndIgnoresTheRest) {
  DataDir folder;
  for (const char* name :
       {"a/1.JPG", "a/deep/er/2.jpeg", "a/3.PNG", "a/4.WebP", "a/notes.txt", "a/.hidden.jpg",
        "a/.cache/5.jpg", "b/1.jpg", "b/jpg", "b/x.jpgx", ".git/1.jpg", "__MACOSX/a/1.jpg"})
    folder.text(name, "x");
  DatasetOptions options;
  options.root = folder.path();
  options.val_share = 0;
  EXPECT_EQ(counts_of(*open_dataset(options)), (std::map<std::string, int>{{"a", 4}, {"b", 1}}));
}

TEST(ImageFolder, FollowsLinksWithoutGoingInCircles) {
  DataDir folder;
  fill(folder, "root/a", 2);
  fill(folder, "elsewhere", 3);
  fs::create_directory_symlink(folder.path() / "elsewhere", folder.path() / "root/b");
  fs::create_directory_symlink(folder.path() / "root/a", folder.path() / "root/a/again");
  fs::create_symlink(folder.path() / "nowhere", folder.path() / "root/b/gone.jpg");
  DatasetOptions options;
  options.root = folder.path() / "root";
  options.val_share = 0;
  // The broken link is kept: reading it is an error that names it.
  const auto dataset = open_dataset(options);
  EXPECT_EQ(counts_of(*dataset), (std::map<std::string, int>{{"a", 2}, {"b", 4}}));
  expect_error([&] { dataset->get(5); }, {"gone.jpg"});
}

TEST(ImageFolder, AClassMayBeCalledTrain) {
  DataDir folder;
  fill(folder, "car", 5);
  fill(folder, "train", 5);
  EXPECT_THAT(open(folder.path())->classes(), ElementsAre("car", "train"));
}

TEST(ImageFolder, ClassMap) {
  DataDir folder;
  fill(folder, "train/a", 2);
  fill(folder, "train/b", 2);
  fill(folder, "val/b", 2);
  DatasetOptions options;
  options.root = folder.path();
  options.class_map = folder.text("map.txt", "b\na\n");
  EXPECT_THAT(open_dataset(options)->classes(), ElementsAre("b", "a"));
  EXPECT_EQ(open_dataset(options)->label(0), 0);
  EXPECT_EQ(open_dataset(options)->name(0), (folder.path() / "train/b/0.jpg").string());
  folder.text("map.txt", "b\na\nc\n");
  expect_error([&] { open_dataset(options); }, {"no folder for class 'c'", "map.txt"});
  options.split = "val";  // a part of the classes is fine where nothing is learned
  EXPECT_EQ(open_dataset(options)->size(), 2);
  folder.text("map.txt", "a\nc\n");
  expect_error([&] { open_dataset(options); }, {"val/b", "'b' is not in class map"});
}

TEST(ImageFolderErrors, NothingThere) {
  DataDir folder;
  expect_error([&] { open(folder.path() / "gone"); }, {"gone", "no such file or folder"});
  expect_error([&] { open(folder.path()); }, {"no images found"});
  fill(folder, ".", 3);
  expect_error([&] { open(folder.path()); }, {"3 images, but no class folders", "CLASS"});
  expect_error([&] { open(folder.path() / "0.jpg"); }, {"is a file; expected a folder"});
}

TEST(ImageFolderErrors, OneClass) {
  DataDir folder;
  fill(folder, "cat", 3);
  expect_error([&] { open(folder.path()); }, {"only one class, 'cat'"});
  DataDir outer;
  fill(outer, "pets/cat", 3);
  fill(outer, "pets/dog", 3);
  expect_error([&] { open(outer.path()); },
               {"only one class, 'pets'", "/pets the folder that you mean?"});
}

TEST(ImageFolderErrors, EmptyClass) {
  DataDir folder;
  fill(folder, "cat", 3);
  fill(folder, "dog", 3);
  fs::create_directory(folder.path() / "emu");
  expect_error([&] { open(folder.path()); }, {"class 'emu' has no images"});
  folder.text("emu/picture.bmp", "x");
  expect_error([&] { open(folder.path()); },
               {"class 'emu'", "1 files of other kinds", "picture.bmp"});
  fs::create_directory(folder.path() / "yak");
  expect_error([&] { open(folder.path()); }, {"class 'emu'", "1 more"});
}

TEST(ImageFolderErrors, SplitsThatDoNotFit) {
  DataDir folder;
  fill(folder, "train/cat", 3);
  fill(folder, "train/dog", 3);
  fill(folder, "val/dgo", 3);
  expect_error([&] { open(folder.path(), "val"); }, {"val/dgo", "did you mean 'dog'?"});
  expect_error([&] { open(folder.path(), "test"); }, {"no folder 'test'"});
  expect_error<UsageError>([&] { open(folder.path(), "tets"); }, {"unknown split 'tets'"});

  DataDir loose;
  fill(loose, "train", 3);
  fill(loose, "val", 3);
  expect_error([&] { open(loose.path()); }, {"has no class folders in it"});

  DataDir val_only;
  fill(val_only, "val/cat", 3);
  fill(val_only, "val/dog", 3);
  EXPECT_EQ(open(val_only.path(), "val")->size(), 6);
  expect_error([&] { open(val_only.path()); }, {"no folder 'train'"});
}

}  // namespace
}  // namespace nestvit

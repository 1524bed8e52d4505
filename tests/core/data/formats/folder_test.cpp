// Image folders: classes, splits, and everything that can be wrong with them.
#include "data/formats/folder.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> notes(const Dataset& dataset, bool expected) {
  std::vector<std::string> texts;
  for (const NotRead& note : dataset.not_read())
    if (note.expected == expected) texts.push_back(note.text);
  return texts;
}

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

TEST(ImageFolder, SplitsHaveTheNamesThatPeopleGive) {
  for (const auto& [train, val, test] :
       std::vector<std::array<std::string, 3>>{{"Train", "Val", "Test"},
                                               {"TRAIN", "VALID", "TEST"},
                                               {"training_set", "validation_set", "test_set"},
                                               {"x_train/x_train", "x_val/x_val", "x_test/x_test"},
                                               {"Training/training", "dev", "Testing"}}) {
    DataDir folder;
    fill(folder, train + "/cat", 3);
    fill(folder, train + "/dog", 2);
    fill(folder, val + "/dog", 4);
    fill(folder, test + "/cat", 5);
    EXPECT_THAT(open(folder.path())->classes(), ElementsAre("cat", "dog")) << train;
    EXPECT_EQ(open(folder.path())->size(), 5);
    EXPECT_EQ(open(folder.path(), "val")->size(), 4);
    EXPECT_EQ(open(folder.path(), "Test")->size(), 5);
    EXPECT_THAT(notes(*open(folder.path()), false), IsEmpty());
  }
}

TEST(ImageFolder, ATestPartThatNothingReadsIsNamed) {
  DataDir folder;
  fill(folder, "cat", 5);
  fill(folder, "dog", 5);
  fill(folder, "test/cat", 5);
  fill(folder, "test/dog", 5);
  for (const char* split : {"train", "val"})
    EXPECT_THAT(notes(*open(folder.path(), split), true),
                ElementsAre(HasSubstr("only --split test reads")));
  EXPECT_THAT(notes(*open(folder.path(), "test"), true), IsEmpty());
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

// As network storage, disks and systems leave them at every level.
TEST(ImageFolder, FoldersThatNoOneMeansAreNoClasses) {
  DataDir folder;
  fill(folder, "cat", 3);
  fill(folder, "dog", 3);
  for (const char* name :
       {"@eaDir/x", "cat/@eaDir/0.jpg", "#recycle/cat", "lost+found", "$RECYCLE.BIN/S-1-5-18",
        "System Volume Information", ".Trash-1000/files", "dog/.ipynb_checkpoints", "__MACOSX/cat",
        ".AppleDouble"})
    fill(folder, name, 2);
  for (const char* name :
       {"Thumbs.db", "cat/Thumbs.db", "cat/._0.jpg", "dog/desktop.ini", "dog/.DS_Store"})
    folder.text(name, "x");
  const auto data = open(folder.path());
  EXPECT_THAT(data->classes(), ElementsAre("cat", "dog"));
  EXPECT_EQ(data->size() + open(folder.path(), "val")->size(), 6);
  EXPECT_THAT(data->not_read(), IsEmpty());
  DataDir parts;
  for (const char* name : {"train/cat", "train/dog", "train/@eaDir", "val/cat", "val/lost+found"})
    fill(parts, name, 2);
  EXPECT_EQ(open(parts.path())->size(), 4);
  EXPECT_EQ(open(parts.path(), "val")->size(), 2);
}

TEST(ImageFolder, SaysWhatItDoesNotRead) {
  DataDir folder;
  fill(folder, "train/cat", 3);
  fill(folder, "train/dog", 3);
  fill(folder, "val/dog", 3);
  fill(folder, "plane", 4);
  for (const char* name : {"train/cat/a.bmp", "train/cat/b.BMP", "train/dog/deep/c.gif",
                           "train/stray.png", "train/dog/note.txt", "readme.md", "more.zip"})
    folder.text(name, "x");
  fs::create_directories(folder / "val/cat");
  fs::create_symlink("/nowhere", folder / "train/emu");
  const auto train = open(folder.path());
  EXPECT_EQ(train->size(), 6);
  EXPECT_THAT(
      notes(*train, false),
      ElementsAre(HasSubstr("folders beside train/ are not read: plane (4 images)"),
                  HasSubstr("train: 3 files are not read (2 .bmp, 1 .gif)"),
                  HasSubstr("it is stray.png"), HasSubstr("1 link leads nowhere; it is emu")));
  EXPECT_THAT(notes(*train, true),
              ElementsAre(HasSubstr("(1 .md, 1 .zip)"), HasSubstr("(1 .txt)")));
  EXPECT_THAT(notes(*open(folder.path(), "val"), false),
              ElementsAre(HasSubstr("plane"), HasSubstr("class folders without images: cat")));
  // Of a flat folder both parts say it, and subsets, too.
  EXPECT_THAT(notes(*open(folder / "train"), false),
              ElementsAre(HasSubstr("2 .bmp"), HasSubstr("stray"), HasSubstr("emu")));
  EXPECT_EQ(subset(open(folder / "train", "val"), {0})->not_read().size(), 4u);
}

TEST(ImageFolder, ReadsWhatBrowsersCallJpeg) {
  DataDir folder;
  fill(folder, "dog", 2);
  for (const char* name : {"cat/1.jfif", "cat/2.JPE"}) folder.text(name, "x");
  EXPECT_EQ(open(folder.path())->size() + open(folder.path(), "val")->size(), 4);
}

TEST(ImageFolder, WarnsOfFoldersInsideClassesThatMeanMore) {
  DataDir folder;
  fill(folder, "cat/train", 3);
  fill(folder, "cat/test", 3);
  fill(folder, "dog/train", 3);
  fill(folder, "dog/test", 3);
  EXPECT_THAT(notes(*open(folder.path()), false),
              ElementsAre(HasSubstr("every class folder holds the same folders (test, train)")));
  DataDir copy;
  for (const char* name : {"cat", "dog", "backup/cat", "backup/dog"}) fill(copy, name, 3);
  EXPECT_THAT(notes(*open(copy.path()), false),
              ElementsAre(HasSubstr("class folder backup are folders that are called like classes "
                                    "(cat, dog)")));
}

TEST(ImageFolder, ClassesAreCalledInOneFormOfUnicode) {
  DataDir folder;
  fill(folder, "train/cafe\u0301", 3);  // as macOS writes it
  fill(folder, "train/dog", 3);
  fill(folder, "val/caf\u00e9", 3);
  EXPECT_THAT(open(folder.path())->classes(), ElementsAre("caf\u00e9", "dog"));
  const auto val = open(folder.path(), "val");
  EXPECT_EQ(counts_of(*val), (std::map<std::string, int>{{"caf\u00e9", 3}}));
  EXPECT_THAT(open(folder.path())->get(0).encoded, Not(IsEmpty()));
  DatasetOptions options;
  options.root = folder.path();
  options.class_map = folder.text("map.txt", "cafe\u0301\ndog\n");
  EXPECT_EQ(open_dataset(options)->size(), 6);
  fill(folder, "train/caf\u00e9", 3);
  expect_error([&] { open(folder.path()); }, {"two class folders", "two forms of Unicode"});
}

TEST(ImageFolder, WarnsOfClassesThatDifferInCaseOnly) {
  DataDir folder;
  for (const char* part : {"train", "val"})
    for (const char* name : {"Cat", "cat", "dog"})
      folder.png(std::string(part) + "/" + name + "/1.png");
  const auto train = open(folder.path())->not_read(), val = open(folder.path(), "val")->not_read();
  ASSERT_EQ(train.size(), 1u);
  EXPECT_THAT(train[0].text, HasSubstr("'Cat' and 'cat'"));
  EXPECT_FALSE(train[0].expected);
  ASSERT_EQ(val.size(), 1u);
  EXPECT_EQ(val[0].text, train[0].text) << "said once";
}

TEST(ImageFolderErrors, AClassFolderThatIsNotUtf8) {
  DataDir folder;
  fill(folder, "caf\xe9", 3);
  fill(folder, "dog", 3);
  for (const char* split : {"train", "val"})
    expect_error([&] { open(folder.path(), split); }, {"caf\\xE9", "not UTF-8", "convmv"});
  DataDir parts;
  for (const char* name : {"train/cat", "train/dog", "val/ca\xff"}) fill(parts, name, 3);
  EXPECT_EQ(open(parts.path())->size(), 6);
  expect_error([&] { open(parts.path(), "val"); }, {"val/ca\\xFF", "not UTF-8"});
  // Names of files are only read.
  DataDir files;
  for (const char* name : {"cat/\xe9.jpg", "cat/1.jpg", "dog/1.jpg", "dog/2.jpg"})
    files.text(name, "x");
  EXPECT_EQ(open(files.path())->size() + open(files.path(), "val")->size(), 4);
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

TEST(ImageFolderErrors, OneClassBecauseATestFolderIsNone) {
  DataDir folder;
  fill(folder, "exam", 3);
  fill(folder, "test", 3);
  expect_error([&] { open(folder.path()); },
               {"only one class, 'exam'", "test is taken for the test part", "rename it"});
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

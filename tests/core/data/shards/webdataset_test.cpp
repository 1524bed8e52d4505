// WebDataset: shards as tar writes them, their splits, labels and names, and what is wrong in them.
#include "data/shards/webdataset.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WebDatasetTest : public ::testing::Test {
 protected:
  // data/NAME with KEY.png and KEY.cls for each label, in order.
  void shard(const std::string& name, const std::vector<int>& labels, int first = 0) const {
    const std::string work = "work-" + name;
    std::string members;
    for (size_t i = 0; i < labels.size(); ++i) {
      char key[32];
      std::snprintf(key, sizeof key, "s/%05d", first + static_cast<int>(i));
      folder.png(work + "/" + key + ".png", static_cast<uint8_t>(first + static_cast<int>(i)));
      folder.text(work + "/" + key + ".cls", std::to_string(labels[i]) + "\n");
      members += std::string(" ") + key + ".png " + key + ".cls";
    }
    pack(name, work, members);
  }
  void pack(const std::string& name, const std::string& work, const std::string& members) const {
    fs::create_directories(data());
    const std::string command = "cd '" + (folder.path() / work).string() + "' && tar -cf '" +
                                (data() / name).string() + "' " + members;
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
  fs::path data() const { return folder.path() / "data"; }
  std::unique_ptr<Dataset> open(const std::string& split, fs::path root = {}) const {
    DatasetOptions options;
    options.root = root.empty() ? data() : root;
    options.split = split;
    return open_dataset(options);
  }
  static std::vector<int> labels(const Dataset& dataset) {
    std::vector<int> all;
    for (int64_t i = 0; i < dataset.size(); ++i) all.push_back(dataset.label(i));
    return all;
  }
  DataDir folder;
};

TEST_F(WebDatasetTest, ShardsInNaturalOrderWithTheirImages) {
  shard("x-train-10.tar", {2, 0}, 3);
  shard("x-train-9.tar", {0, 1, 2});
  shard("x-val-0.tar", {1, 0}, 7);
  const auto train = open("train"), val = open("val");
  EXPECT_EQ(train->kind(), "webdataset");
  EXPECT_THAT(train->classes(), ElementsAre("0", "1", "2"));
  EXPECT_THAT(labels(*train), ElementsAre(0, 1, 2, 2, 0));
  EXPECT_THAT(labels(*val), ElementsAre(1, 0));
  EXPECT_FALSE(val->is_share());
  EXPECT_EQ(train->key(3), "x-train-10.tar#0");
  for (int64_t i = 0; i < train->size(); ++i) {
    const Sample sample = train->get(i);
    EXPECT_EQ(sample.label, train->label(i));
    EXPECT_EQ(decode_image(sample.encoded, {}, sample.name).pixels[0], i);
  }
  EXPECT_THAT(train->name(3), HasSubstr("x-train-10.tar#s/00003.png"));
}

TEST_F(WebDatasetTest, PatternsAndSingleShards) {
  shard("x-00.tar", {0, 1});
  shard("x-01.tar", {1, 0}, 2);
  shard("x-02.tar", {1}, 4);
  const auto size = [&](const std::string& name) {
    DatasetOptions options;
    options.root = data() / name;
    options.val_share = 0;
    return open_dataset(options)->size();
  };
  EXPECT_EQ(size("x-{00..01}.tar"), 4);
  EXPECT_EQ(size("x-00.tar"), 2);
  EXPECT_EQ(size(""), 5);
  expect_error([&] { size("x-{00..03}.tar"); }, {"x-03.tar"});
  // Without a split in their names a seeded share is "val".
  EXPECT_EQ(open("train")->size() + open("val")->size(), 5);
  EXPECT_GT(open("val")->size(), 0);
  expect_error([&] { open("test"); }, {"no shards of the split 'test'"});
}

// No image is in both parts, whatever the shards are called.
TEST_F(WebDatasetTest, TrainingShardsAloneAreDivided) {
  for (const char* name : {"x-train-0.tar", "x-0.tar"}) {
    fs::remove_all(data());
    shard(name, {0, 1, 0, 1, 0, 1, 0, 1, 0, 1});
    std::set<std::string> names;
    for (const char* split : {"train", "val"}) {
      const auto part = open(split);
      for (int64_t i = 0; i < part->size(); ++i) names.insert(part->name(i));
    }
    EXPECT_EQ(open("train")->size() + open("val")->size(), 10) << name;
    EXPECT_EQ(names.size(), 10u) << name;
    EXPECT_TRUE(open("val")->is_share()) << name;
    EXPECT_EQ(open("train")->key(0).substr(0, std::string(name).size() + 1),
              name + std::string("#"))
        << "whatever folder it lies in";
  }
  folder.text("data/_info.json", R"({"splits": {"train": {"filenames": ["x-0.tar"]}}})");
  EXPECT_EQ(open("train")->size() + open("val")->size(), 10);
}

TEST_F(WebDatasetTest, FolderThatIsCalledLikeAShardIsAFolder) {
  for (const char* image : {"a/1.png", "a/2.png", "b/1.png", "b/2.png"})
    folder.png(std::string("pets.tar/") + image);
  EXPECT_EQ(open("train", folder.path() / "pets.tar")->kind(), "image folder");
}

TEST_F(WebDatasetTest, ShardsWithoutAWordAreForTraining) {
  shard("x-0.tar", {0, 1, 1});
  shard("x-test-0.tar", {1, 0}, 3);
  EXPECT_EQ(open("train")->size(), 3);
  EXPECT_EQ(open("val")->size(), 2);
  EXPECT_EQ(open("test")->size(), 2);
}

TEST_F(WebDatasetTest, InfoFileSaysWhichShards) {
  shard("a.tar", {0, 1});
  shard("b.tar", {1, 1, 0}, 2);
  folder.text(
      "data/_info.json",
      R"({"splits": {"train": {"name": "train", "filenames": ["b.tar"], "shard_lengths": [3]},
                             "validation": {"filenames": ["a.tar"]}}})");
  EXPECT_EQ(open("train")->size(), 3);
  EXPECT_EQ(open("val")->size(), 2);
  folder.text("data/_info.json", R"({"splits": {"train": {"filenames": ["../b.tar"]}}})");
  expect_error([&] { open("train"); }, {"_info.json", "../b.tar"});
}

TEST_F(WebDatasetTest, LabelsInJsonAndOtherMembers) {
  folder.png("w/1.jpg.png");
  for (const char* key : {"1", "2"}) folder.png(std::string("w/") + key + ".png");
  folder.text("w/1.json", R"({"label": 1, "caption": "a cat"})");
  folder.text("w/2.json", R"({"label": 0})");
  folder.text("w/2.txt", "text beside it");
  folder.text("w/README", "no sample");
  pack("train.tar", "w", "README 1.png 1.json 2.txt 2.png 2.json");
  EXPECT_THAT(labels(*open("train")), ElementsAre(1, 0));
}

// The value of the pixels says which member was read.
TEST_F(WebDatasetTest, ImageOfSeveralMembers) {
  const auto value = [&](const std::string& members) {
    pack("train.tar", "w", members + " 8.png 8.cls");
    const Sample sample = open("train")->get(0);
    return int{decode_image(sample.encoded, {}, sample.name).pixels[0]};
  };
  const char* members[] = {"1.depth.png", "1.webp", "1.png", "1.jpeg", "1.jpg", "1.JPG"};
  for (uint8_t i = 0; i < 6; ++i) folder.png(std::string("w/") + members[i], i);
  folder.png("w/8.png", 8);
  folder.text("w/1.cls", "0");
  folder.text("w/8.cls", "1");
  EXPECT_EQ(value("1.cls 1.depth.png 1.webp 1.png 1.jpeg 1.jpg"), 4);
  EXPECT_EQ(value("1.jpg 1.jpeg 1.png 1.webp 1.depth.png 1.cls"), 4);
  EXPECT_EQ(value("1.depth.png 1.webp 1.cls 1.png 1.jpeg"), 3);
  EXPECT_EQ(value("1.depth.png 1.webp 1.cls 1.png"), 2);
  EXPECT_EQ(value("1.depth.png 1.cls 1.webp"), 1);
  EXPECT_EQ(value("1.depth.png 1.cls 1.JPG"), 5);
  expect_error([&] { value("1.depth.png 1.cls"); },
               {"train.tar", "\"1\" has no image", "it has depth.png", "first dot"});
}

TEST_F(WebDatasetTest, MembersThatAreNotReadAreNamed) {
  std::string members;
  for (const char* key : {"1", "2", "3"}) {
    const std::string base = std::string("w/") + key;
    folder.png(base + ".png");
    folder.png(base + ".depth.png");
    folder.text(base + ".cls", key);
    folder.text(base + ".txt", "a photo");
    for (const char* end : {".depth.png", ".cls", ".png", ".txt"})
      members += std::string(" ") + key + end;
  }
  pack("x-train-0.tar", "w", members);
  pack("x-train-1.tar", "w", members);
  const auto notes = open("train")->not_read();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0].text, HasSubstr("members that are not read: 6 depth.png, 6 txt"));
  EXPECT_FALSE(notes[0].expected);  // a picture among them
  fs::remove_all(data());
  pack("train.tar", "w", "1.png 1.cls 1.txt 2.png 2.cls");
  ASSERT_EQ(open("train")->not_read().size(), 1u);
  EXPECT_TRUE(open("train")->not_read()[0].expected);
  pack("train.tar", "w", "1.png 1.cls 2.png 2.cls");
  EXPECT_TRUE(open("train")->not_read().empty());
}

TEST_F(WebDatasetTest, ManyExtensionsAreNotAllNamed) {
  std::string members = "a.png a.cls b.png b.cls";
  folder.png("w/a.png");
  folder.png("w/b.png");
  folder.text("w/a.cls", "0");
  folder.text("w/b.cls", "1");
  for (int i = 0; i < 200; ++i) {
    const std::string name = "b.x" + std::to_string(i);
    folder.text("w/" + name, "");
    members += " " + name;
  }
  pack("train.tar", "w", members);
  const auto notes = open("train")->not_read();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0].text, HasSubstr("other extensions"));
  EXPECT_LT(notes[0].text.size(), 400u);
}

TEST_F(WebDatasetTest, LabelsOfEveryKind) {
  const auto label = [&](const std::string& name, const std::string& text) {
    folder.png("w/1.png");
    folder.png("w/2.png");
    folder.text("w/2.cls", "9");
    folder.text("w/" + name, text);
    pack("train.tar", "w", "1.png " + name + " 2.png 2.cls");
    return labels(*open("train")).at(0);
  };
  EXPECT_EQ(label("1.cls", " 3\r\n"), 3);
  EXPECT_EQ(label("1.CLS", "3"), 3);
  EXPECT_EQ(label("1.txt", "3\n"), 3);
  for (const char* json :
       {R"({"label": 3})", R"({"label": "3"})", R"({"cls": 3, "caption": "7"})", R"({"class": 3})",
        R"({"label": null, "target": 3})", R"({"label": "cat", "class_id": 3})", "3"})
    EXPECT_EQ(label("1.json", json), 3) << json;
  expect_error([&] { label("1.txt", "a photo of a cat"); }, {"no label", "its .txt is no number"});
  expect_error([&] { label("1.json", R"({"caption": "a cat"})"); }, {"no label", "\"label\""});
  expect_error([&] { label("1.json", "{"); }, {"train.tar", "\"1\"", ".json that cannot be read"});
  expect_error([&] { label("1.cls", "cat"); }, {"the label \"cat\"", "--class-map"});
  expect_error([&] { label("1.json", R"({"label": -1, "class_id": 3})"); }, {"the label \"-1\""});
}

TEST_F(WebDatasetTest, BestLabelCounts) {
  folder.text("w/1.json", R"({"label": 2})");
  folder.text("w/1.txt", "1");
  folder.text("w/1.cls", "3");
  folder.text("w/2.json", "not JSON");
  folder.text("w/2.cls", "0");
  folder.png("w/1.png");
  folder.png("w/2.png");
  for (const char* order : {"1.cls 1.json 1.txt", "1.txt 1.json 1.cls"}) {
    pack("train.tar", "w", std::string("1.png ") + order + " 2.json 2.png 2.cls");
    EXPECT_THAT(labels(*open("train")), ElementsAre(3, 0)) << order;
  }
  pack("train.tar", "w", "1.png 1.txt 1.json 2.png 2.cls");
  EXPECT_THAT(labels(*open("train")), ElementsAre(2, 0));
}

TEST_F(WebDatasetTest, ClassMapNamesLabels) {
  folder.text("w/1.cls", "dog\n");
  folder.text("w/2.json", R"({"label": "cat"})");
  folder.text("w/3.txt", "dog");
  folder.text("w/4.cls", "0");
  for (const char* key : {"1", "2", "3", "4"}) folder.png(std::string("w/") + key + ".png");
  pack("train.tar", "w", "1.png 1.cls 2.png 2.json 3.png 3.txt 4.png 4.cls");
  DatasetOptions options;
  options.root = data();
  options.val_share = 0;
  options.class_map = folder.text("map.txt", "cat\ndog\n");
  EXPECT_THAT(labels(*open_dataset(options)), ElementsAre(1, 0, 1, 0));
  EXPECT_THAT(open_dataset(options)->classes(), ElementsAre("cat", "dog"));
  // An index made with other names does not serve.
  options.index = folder.path() / "train.index";
  for (const fs::path& shard : {data() / "train.tar"})
    fs::last_write_time(shard, fs::file_time_type::clock::now() - std::chrono::seconds(10));
  open_dataset(options)->save_index(options.index);
  folder.text("map.txt", "dog\ncat\n");
  EXPECT_THAT(labels(*open_dataset(options)), ElementsAre(0, 1, 0, 0));
}

TEST_F(WebDatasetTest, ShardsInFoldersOfSplits) {
  for (const char* part : {"train", "Test"}) fs::create_directories(data() / part);
  shard("Test/0.tar", {1, 0}, 3);
  shard("train/0.tar", {0, 1, 1});
  shard("train/1.tar", {0}, 5);
  EXPECT_EQ(open("train")->kind(), "webdataset");
  EXPECT_EQ(open("train")->size(), 4);
  EXPECT_EQ(open("test")->size(), 2);
  EXPECT_EQ(open("val")->size(), 2);
}

TEST_F(WebDatasetTest, SamplesThatAreNoneAreErrors) {
  folder.png("w/1.png");
  folder.png("w/2.png");
  folder.text("w/1.cls", "0");
  folder.text("w/2.cls", "1");
  const auto fails = [&](const std::string& members, const std::vector<std::string>& mentions) {
    pack("train.tar", "w", members);
    expect_error([&] { open("train"); }, mentions);
  };
  fails("1.png 1.cls 2.png", {"train.tar", "\"2\"", "no label"});
  fails("1.cls 2.png 2.cls", {"train.tar", "\"1\"", "no image"});
  for (const char* wrong : {"-1", "x", "", "1.5", "99999999999", "2000000"}) {
    folder.text("w/2.cls", wrong);
    fails("1.png 1.cls 2.png 2.cls", {"\"2\"", "expected a whole number"});
  }
  folder.text("w/2.cls", std::string(70000, '1'));
  fails("1.png 1.cls 2.png 2.cls", {"label of 70000 bytes"});
  folder.text("w/2.png", "");
  folder.text("w/2.cls", "1");
  fails("1.png 1.cls 2.png 2.cls", {"image of 0 bytes"});
  folder.text("w/3.json", R"({"label": "cat"})");
  fails("3.json", {"expected a whole number"});
  folder.text("data/train.tar", "no tar at all, but longer than nothing");
  expect_error([&] { open("train"); }, {"train.tar", "cut off"});
}

}  // namespace
}  // namespace nestvit

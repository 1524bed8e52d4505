// Indexes: opened again without looking at every file, made anew when anything changed, and hostile
// files.
#include "data/index/index.h"

#include <sys/stat.h>

#include "data/index/path_list.h"
#include "support/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Bytes content(const fs::path& path) { return read_file(path); }

// As if nothing had been touched since `hours` before now, which stands still.
void age(const fs::path& root, int hours = 100) {
  static const auto now = fs::file_time_type::clock::now();
  const auto then = now - std::chrono::hours(hours);
  for (const auto& entry : fs::recursive_directory_iterator(root))
    fs::last_write_time(entry.path(), then);
  fs::last_write_time(root, then);
}

class IndexTest : public ::testing::Test {
 protected:
  fs::path data() const { return folder.path() / "data"; }
  fs::path index(const std::string& split = "train") const {
    return folder.path() / (split + ".idx");
  }
  std::unique_ptr<Dataset> open(const std::string& split = "train", double share = 0.25) const {
    DatasetOptions options;
    options.root = data();
    options.split = split;
    options.val_share = share;
    options.index = index(split);
    return open_dataset(options);
  }
  // Opens; returns what went to the log.
  std::string log_of_opening(const std::string& split = "train", double share = 0.25) const {
    ::testing::internal::CaptureStderr();
    open(split, share);
    return ::testing::internal::GetCapturedStderr();
  }
  static std::vector<std::string> listing(const Dataset& dataset) {
    std::vector<std::string> all = dataset.classes();
    for (int64_t i = 0; i < dataset.size(); ++i)
      all.push_back(dataset.name(i) + " " + std::to_string(dataset.label(i)));
    return all;
  }
  void images() const {
    for (const char* name : {"cat", "dog", "fox"})
      for (int i = 0; i < 8; ++i)
        folder.png(std::string("data/") + name + (i % 2 ? "/more/" : "/") + std::to_string(i) +
                   ".png");
    age(data());
  }
  void save() const {
    for (const char* split : {"train", "val"}) open(split)->save_index(index(split));
  }
  DataDir folder;
};

TEST_F(IndexTest, ImageFolderOpensFromItsIndex) {
  images();
  const auto train = listing(*open("train")), val = listing(*open("val"));
  save();
  // A file that comes without its folder's time changing is not seen: the index was used.
  folder.png("data/cat/zzz.png");
  age(data());
  EXPECT_EQ(listing(*open("train")), train);
  EXPECT_EQ(listing(*open("val")), val);
  EXPECT_THAT(log_of_opening(), IsEmpty());
  EXPECT_EQ(open()->get(0).label, 0);
  // What was opened by an index that is right does not write it again.
  const auto before = fs::last_write_time(index());
  fs::last_write_time(index(), before - std::chrono::hours(1));
  open()->save_index(index());
  EXPECT_EQ(fs::last_write_time(index()), before - std::chrono::hours(1));
}

TEST_F(IndexTest, AnyChangedFolderMakesItAnew) {
  images();
  int hours = 90;
  for (const char* change :
       {"data/cat/new.png", "data/dog/more/new.png", "data/fox/deep/new.png"}) {
    age(data(), hours--);
    save();
    const int64_t before = open("train", 0)->size();
    folder.png(change);
    EXPECT_THAT(log_of_opening(), HasSubstr("has changed since"));
    EXPECT_GT(open("train", 0)->size(), before);
  }
  age(data(), hours--);
  save();
  fs::remove_all(data() / "dog" / "more");
  EXPECT_THAT(log_of_opening(), HasSubstr("has changed since"));
  age(data(), hours--);
  save();
  folder.png("data/ape/1.png");
  EXPECT_EQ(open()->classes().size(), 4u);
}

TEST_F(IndexTest, OtherOptionsDoNotTakeIt) {
  images();
  save();
  EXPECT_EQ(open("train", 0)->size(), 24);
  EXPECT_EQ(open("train", 0.5)->size(), 12);
  EXPECT_EQ(open("train")->size(), 18);
  DatasetOptions options;
  options.root = data();
  options.index = index();
  options.class_map = folder.text("map.txt", "fox\ndog\ncat\n");
  EXPECT_THAT(open_dataset(options)->classes(), ElementsAre("fox", "dog", "cat"));
}

TEST_F(IndexTest, AFolderThatJustChangedIsNotKept) {
  images();
  folder.png("data/cat/new.png");  // now: another file could come within the clock's step
  open()->save_index(index());
  EXPECT_FALSE(fs::exists(index()));
}

TEST_F(IndexTest, ADamagedIndexCostsALineOfLog) {
  images();
  save();
  const Bytes whole = content(index());
  const auto right = listing(*open());
  for (size_t at = 0; at < whole.size(); at += 7) {
    Bytes broken = whole;
    broken[at] ^= std::byte{0x41};
    write_file(index(), broken);
    EXPECT_EQ(listing(*open()), right) << at;
    write_file(index(), std::span(whole).first(at));
    EXPECT_EQ(listing(*open()), right) << at;
    EXPECT_THAT(log_of_opening(), HasSubstr("the images are listed anew")) << at;
  }
}

// Checksums that are right, and contents that are not.
TEST_F(IndexTest, HostilePathLists) {
  struct Run {
    int64_t first;
    uint64_t begin, size;
  };
  struct Case {
    std::string text;
    std::vector<uint64_t> ends;
    std::vector<Run> runs;
    bool fine = false;
  };
  const std::vector<Case> cases = {
      {"a/xy", {3, 4}, {{0, 0, 2}}, true},
      {"", {}, {}, true},
      {"a/xy", {4, 3}, {{0, 0, 2}}},
      {"a/xy", {3, 5}, {{0, 0, 2}}},
      {"a/xy", {3, 3}, {{0, 0, 2}}},
      {"a/xy", {3, 4}, {}},
      {"a/xy", {3, 4}, {{1, 3, 1}}},
      {"a/xy", {3, 4}, {{0, 1, 1}}},
      {"a/xy", {3, 4}, {{0, 0, 4}}},
      {"a/xy", {3, 4}, {{0, 0, UINT64_MAX}}},
      {"a/xy", {3, 4}, {{0, 0, 2}, {0, 0, 2}}},
      {"a/xy", {3, 4}, {{0, 0, 2}, {2, 4, 0}}},
      {"a/xy", {3, 4}, {{0, 0, 2}, {1, 3, 2}}},
      {"a/xy", {3, 4}, {{-1, 0, 2}}},
      {"", {}, {{0, 0, 0}}},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const fs::path file = folder.path() / "list";
    {
      IndexWriter writer(file, "key");
      writer.text(cases[i].text);
      writer.array(std::span(cases[i].ends));
      writer.array(std::span(cases[i].runs));
      writer.commit();
    }
    auto reader = IndexReader::open(file, "key");
    ASSERT_TRUE(reader);
    if (cases[i].fine) {
      const PathList list = PathList::read(*reader);
      reader->end();
      EXPECT_EQ(list.size() > 0 ? list.at(0) + list.at(1) : "a/xa/y", "a/xa/y");
    } else {
      expect_error([&] { PathList::read(*reader); }, {"list is damaged"});
    }
  }
  EXPECT_FALSE(IndexReader::open(folder.path() / "list", "another"));
  EXPECT_FALSE(IndexReader::open(folder.path() / "none", "key"));
}

TEST(PathList, KeepsWhatIsAdded) {
  const std::vector<std::string> paths = {"a/1", "a/22", "a/b/3", "x", "", "y", "/q/r", "a/1"};
  PathList list;
  for (const auto& path : paths) list.add(path);
  ASSERT_EQ(list.size(), std::ssize(paths));
  for (size_t i = 0; i < paths.size(); ++i) EXPECT_EQ(list.at(static_cast<int64_t>(i)), paths[i]);
  const PathList part = list.part({7, 2, 2, 4});
  EXPECT_EQ(part.at(0) + "|" + part.at(1) + "|" + part.at(2) + "|" + part.at(3),
            "a/1|a/b/3|a/b/3|");
  EXPECT_THROW(list.at(8), std::out_of_range);
  EXPECT_THROW(list.at(-1), std::out_of_range);
}

// ---- shards ----

class ShardIndexTest : public IndexTest {
 protected:
  void shard(const std::string& name, int first, int count) const {
    const std::string work = "work-" + name;
    std::string members;
    for (int i = first; i < first + count; ++i) {
      const std::string key = std::to_string(1000 + i);
      folder.png(work + "/" + key + ".png", static_cast<uint8_t>(i));
      folder.text(work + "/" + key + ".cls", std::to_string(i % 3));
      members += " " + key + ".png " + key + ".cls";
    }
    fs::create_directories(data());
    const std::string command = "cd '" + (folder.path() / work).string() + "' && tar -cf '" +
                                (data() / name).string() + "'" + members;
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  void three() const {
    for (int i = 0; i < 3; ++i) shard("x-" + std::to_string(i) + ".tar", 10 * i, 10);
    age(data());
  }
  // Zeroes the headers in a shard without touching its time: only an index can tell what is in it.
  void blind(const std::string& name, size_t headers_up_to) const {
    const fs::path path = data() / name;
    const auto time = fs::last_write_time(path);
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    const std::string junk(headers_up_to, 'x');
    file.write(junk.data(), static_cast<std::streamsize>(junk.size()));
    file.close();
    fs::last_write_time(path, time);
  }
};

TEST_F(ShardIndexTest, HeadersAreNotReadAgain) {
  three();
  const auto train = open("train"), val = open("val");
  const auto labels = [](const Dataset& data) {
    std::vector<int> all;
    for (int64_t i = 0; i < data.size(); ++i) all.push_back(data.label(i));
    return all;
  };
  const auto right = labels(*train), right_val = labels(*val);
  const auto last = train->get(train->size() - 1).encoded;
  save();
  blind("x-1.tar", 300);  // its first header: without the index it is no tar file any more
  EXPECT_EQ(labels(*open("train")), right);
  EXPECT_EQ(labels(*open("val")), right_val);
  EXPECT_EQ(open("train")->get(train->size() - 1).encoded, last);
  EXPECT_THAT(log_of_opening(), IsEmpty());
  fs::remove(index());
  EXPECT_THROW(open("train"), Error);
}

TEST_F(ShardIndexTest, OnlyChangedShardsAreScanned) {
  three();
  save();
  blind("x-0.tar", 300);
  shard("x-2.tar", 40, 6);  // another size and time
  EXPECT_EQ(open("train", 0)->size(), 26);
  EXPECT_THAT(log_of_opening(), HasSubstr("1 of 3 shards"));
  shard("x-0.tar", 0, 4);
  EXPECT_EQ(open("train", 0)->size(), 20);
  shard("x-3.tar", 90, 5);
  EXPECT_EQ(open("train", 0)->size(), 25);
}

TEST_F(ShardIndexTest, ShardsBeginWhereTheirFirstSampleIs) {
  three();
  EXPECT_THAT(open("train", 0)->shard_starts(), ElementsAre(0, 10, 20));
  const auto train = open("train");
  const auto starts = train->shard_starts();
  ASSERT_EQ(starts.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const std::string shard = "x-" + std::to_string(i) + ".tar";
    EXPECT_THAT(train->name(starts[i]), HasSubstr(shard));
    if (i > 0) {
      EXPECT_THAT(train->name(starts[i] - 1), ::testing::Not(HasSubstr(shard)));
    }
  }
  images();
  EXPECT_THAT(IndexTest::open("train", 0)->shard_starts(), IsEmpty());
}

TEST_F(ShardIndexTest, AnotherShareIsNotTaken) {
  three();
  save();
  EXPECT_EQ(open("train", 0.5)->size(), 15);
  EXPECT_EQ(open("train", 0)->size(), 30);
}

TEST_F(ShardIndexTest, DamageCostsALineOfLog) {
  three();
  const auto right = listing(*open());
  save();
  const Bytes whole = content(index());
  for (size_t at = 0; at < whole.size(); at += 11) {
    Bytes broken = whole;
    broken[at] ^= std::byte{0x80};
    write_file(index(), broken);
    EXPECT_EQ(listing(*open()), right) << at;
    write_file(index(), std::span(whole).first(at));
    EXPECT_EQ(listing(*open()), right) << at;
  }
}

}  // namespace
}  // namespace nestvit

// Shards: opened from an index without reading their headers again, and work shared by threads.
#include "data/shards/shards.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "support/data/index_test.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ShardIndex : public IndexTest {
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
    age();
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

TEST_F(ShardIndex, HeadersAreNotReadAgain) {
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

TEST_F(ShardIndex, OnlyChangedShardsAreScanned) {
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

TEST_F(ShardIndex, ShardsBeginWhereTheirFirstSampleIs) {
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

TEST_F(ShardIndex, AnotherShareIsNotTaken) {
  three();
  save();
  EXPECT_EQ(open("train", 0.5)->size(), 15);
  EXPECT_EQ(open("train", 0)->size(), 30);
}

TEST_F(ShardIndex, DamageCostsALineOfLog) {
  three();
  const auto right = listing(*open());
  save();
  const Bytes whole = read_file(index());
  for (size_t at = 0; at < whole.size(); at += 11) {
    Bytes broken = whole;
    broken[at] ^= std::byte{0x80};
    write_file(index(), broken);
    EXPECT_EQ(listing(*open()), right) << at;
    write_file(index(), std::span(whole).first(at));
    EXPECT_EQ(listing(*open()), right) << at;
  }
}

TEST(EachShard, IsWorkedOnOnce) {
  for (const size_t count : {0, 1, 7, 100}) {
    std::vector<std::atomic<int>> times(count);
    each_shard(count, [&](size_t i) { ++times[i]; });
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(times[i], 1) << i << " of " << count;
  }
}

TEST(EachShard, AFailureEndsTheWorkAndIsRethrown) {
  constexpr size_t kShards = 10'000, kDamaged = 20;
  std::atomic<bool> thrown{false};
  std::atomic<size_t> done{0};
  const auto work = [&](size_t i) {
    if (i == kDamaged) {
      thrown = true;
      throw Error("shard 20 is damaged");
    }
    // Later ones wait for the failure, and take longer than it takes to be noticed.
    while (i > kDamaged && !thrown) std::this_thread::yield();
    if (i > kDamaged) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ++done;
  };
  expect_error([&] { each_shard(kShards, work); }, {"shard 20 is damaged"});
  EXPECT_LT(done, kShards - 1);
}

TEST(InJumps, IsOnePassOverTheFile) {
  const DataDir folder;
  const auto file = MappedFile::open(folder.text("x", std::string(100'000, 'x')));
  int passes = 0;
  in_jumps(file->bytes(), [&] {
    ++passes;
    EXPECT_EQ(file->bytes().back(), std::byte{'x'});
  });
  EXPECT_EQ(passes, 1);
  EXPECT_EQ(file->bytes().front(), std::byte{'x'}) << "readable afterwards";
  in_jumps({}, [&] { ++passes; });
  EXPECT_EQ(passes, 2);
}

}  // namespace
}  // namespace nestvit

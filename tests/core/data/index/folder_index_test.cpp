// The index of a folder of images: used while nothing changed, made anew when anything did.
#include "data/index/folder_index.h"

#include "support/data/index_test.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FolderIndex : public IndexTest {};

TEST_F(FolderIndex, ImageFolderOpensFromItsIndex) {
  images();
  const auto train = listing(*open("train")), val = listing(*open("val"));
  save();
  // A file that comes without its folder's time changing is not seen: the index was used.
  folder.png("data/cat/zzz.png");
  age();
  EXPECT_EQ(listing(*open("train")), train);
  EXPECT_EQ(listing(*open("val")), val);
  EXPECT_THAT(log_of_opening(), IsEmpty());
  EXPECT_EQ(open()->get(0).label, 0);
  EXPECT_TRUE(open("val")->is_share());
  // An index that was right is not written again.
  const auto before = fs::last_write_time(index());
  fs::last_write_time(index(), before - std::chrono::hours(1));
  open()->save_index(index());
  EXPECT_EQ(fs::last_write_time(index()), before - std::chrono::hours(1));
}

// A resumed run says again what is not read.
TEST_F(FolderIndex, KeepsWhatIsNotRead) {
  images();
  folder.text("data/cat/1.bmp", "x");
  folder.text("data/readme.txt", "x");
  age();
  save();
  const auto texts = [&] {
    std::vector<std::pair<std::string, bool>> all;
    for (const NotRead& note : open()->not_read()) all.emplace_back(note.text, note.expected);
    return all;
  };
  const auto indexed = texts();
  ASSERT_EQ(indexed.size(), 2u);
  EXPECT_THAT(indexed[0].first, HasSubstr("1 .txt"));
  EXPECT_TRUE(indexed[0].second);
  EXPECT_THAT(indexed[1].first, HasSubstr("1 .bmp"));
  EXPECT_FALSE(indexed[1].second);
}

TEST_F(FolderIndex, AnyChangedFolderMakesItAnew) {
  images();
  int hours = 90;
  for (const char* change :
       {"data/cat/new.png", "data/dog/more/new.png", "data/fox/deep/new.png"}) {
    age(hours--);
    save();
    const int64_t before = open("train", 0)->size();
    folder.png(change);
    EXPECT_THAT(log_of_opening(), HasSubstr("has changed since"));
    EXPECT_GT(open("train", 0)->size(), before);
  }
  age(hours--);
  save();
  fs::remove_all(data() / "dog" / "more");
  EXPECT_THAT(log_of_opening(), HasSubstr("has changed since"));
  age(hours--);
  save();
  folder.png("data/ape/1.png");
  EXPECT_EQ(open()->classes().size(), 4u);
}

TEST_F(FolderIndex, OtherOptionsDoNotTakeIt) {
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

TEST_F(FolderIndex, AFolderThatJustChangedIsNotKept) {
  images();
  folder.png("data/cat/new.png");  // now: another file could come within the clock's step
  open()->save_index(index());
  EXPECT_FALSE(fs::exists(index()));
}

TEST_F(FolderIndex, ADamagedIndexCostsALineOfLog) {
  images();
  save();
  const Bytes whole = read_file(index());
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

}  // namespace
}  // namespace nestvit

// Files that are being downloaded: what an earlier run left, marks, and their final name.
#include "hub/part_file.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "support/hub/hub_test.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PartFileTest : public HubTest {
 protected:
  const fs::path file_ = path("sub/file.bin");
  const fs::path part_ = path("sub/file.bin.incomplete");
};

TEST_F(PartFileTest, GrowsBesideAndTakesItsNameWhenWhole) {
  PartFile part(file_);
  EXPECT_EQ(part.path(), part_);
  EXPECT_EQ(part.size(), 0u);
  part.append("one, ");
  part.append("");
  part.append("two");
  EXPECT_EQ(part.size(), 8u);
  EXPECT_FALSE(fs::exists(file_));
  part.publish();
  EXPECT_EQ(read_text(file_), "one, two");
  EXPECT_THAT(names_in(path("sub")), ElementsAre("file.bin"));
}

TEST_F(PartFileTest, GoesOnWithWhatAnEarlierRunLeft) {
  { PartFile(file_).append("first "); }
  PartFile part(file_);
  EXPECT_EQ(part.size(), 6u);
  part.append("second");
  part.publish_as(path("other.bin"));
  EXPECT_EQ(read_text(path("other.bin")), "first second");
  EXPECT_FALSE(fs::exists(part_));
}

TEST_F(PartFileTest, StartsAnewWhenCleared) {
  PartFile part(file_);
  part.append("a long beginning");
  part.clear();
  EXPECT_EQ(part.size(), 0u);
  part.append("short");
  part.publish();
  EXPECT_EQ(read_text(file_), "short");
}

TEST_F(PartFileTest, PublishingReplacesWhatWasThere) {
  make_folder(path("sub"));
  write_file(file_, std::string_view("old"));
  PartFile part(file_);
  part.append("new");
  EXPECT_EQ(read_text(file_), "old");
  part.publish();
  EXPECT_EQ(read_text(file_), "new");
}

TEST_F(PartFileTest, MarksStayWithThePart) {
  {
    PartFile part(file_);
    EXPECT_EQ(part.mark(), "");
    part.set_mark("\"v1\"");
  }
  PartFile part(file_);
  EXPECT_EQ(part.mark(), "\"v1\"");
  part.set_mark(std::string(5000, 'x'));  // too long to be a mark: none
  EXPECT_EQ(part.mark(), "");
  part.set_mark("v2");
  part.publish();
  EXPECT_THAT(names_in(path("sub")), ElementsAre("file.bin"));
}

TEST_F(PartFileTest, DiscardingLeavesNothing) {
  PartFile part(file_);
  part.append("damaged");
  part.set_mark("v1");
  part.discard();
  EXPECT_TRUE(names_in(path("sub")).empty());
}

TEST_F(PartFileTest, ASecondOneWaitsForTheFirst) {
  std::atomic<bool> published{false};
  auto first = std::make_unique<PartFile>(file_);
  std::thread other([&] {
    PartFile second(file_);
    EXPECT_TRUE(published);
    EXPECT_EQ(second.size(), 0u) << "a file of its own: the first one has taken its name";
    second.discard();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  first->append("whole");
  first->publish();
  published = true;
  first.reset();
  other.join();
  EXPECT_EQ(read_text(file_), "whole");
}

TEST_F(PartFileTest, PlacesThatCannotBeWrittenAreNamed) {
  write_file(path("in-the-way"), std::string_view("a file"));
  EXPECT_THAT(error_of([&] { PartFile part(path("in-the-way/file.bin")); }),
              HasSubstr("in-the-way"));
  EXPECT_THAT(error_of([&] { make_folder(path("in-the-way/below")); }), HasSubstr("in-the-way"));
  make_folder(path("sub"));
  fs::create_symlink(path("elsewhere"), part_);
  EXPECT_THAT(error_of([&] { PartFile part(file_); }), HasSubstr("file.bin.incomplete"));
  EXPECT_FALSE(fs::exists(path("elsewhere"))) << "a link is not followed";
}

}  // namespace
}  // namespace nestvit::testing

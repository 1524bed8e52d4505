// Groups whose members are threads of this process.
#include "train/group/group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <functional>
#include <mutex>
#include <thread>

namespace nestvit::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GroupTest : public ::testing::Test {
 protected:
  static constexpr GroupOptions kShort{std::chrono::seconds(5), std::chrono::seconds(2)};

  Launch member(int rank, int size) const {
    Launch launch;
    launch.rank = rank;
    launch.size = launch.local_size = size;
    launch.port = place_.port();
    launch.meeting_point_held = true;
    return launch;
  }
  // Runs `work` as each of `size` members; returns what they threw.
  std::vector<std::string> run(int size, const std::function<void(Group&)>& work) const {
    std::vector<std::string> errors(size);
    std::vector<std::thread> members;
    for (int rank = 0; rank < size; ++rank)
      members.emplace_back([&, rank] {
        try {
          Group group(member(rank, size), kShort);
          work(group);
        } catch (const std::exception& e) {
          errors[rank] = e.what();
        }
      });
    for (std::thread& thread : members) thread.join();
    return errors;
  }

  MeetingPoint place_;
};

TEST_F(GroupTest, AddsUpAndTells) {
  const auto errors = run(3, [](Group& group) {
    std::vector<double> sums = {1.0 * group.rank(), 0.5};
    group.sum_all(sums);
    EXPECT_THAT(sums, ElementsAre(3, 1.5));
    std::vector<int64_t> counts = {int64_t{1} << (40 + group.rank())};
    group.sum_all(counts);
    EXPECT_EQ(counts[0], int64_t{7} << 40);
    EXPECT_EQ(group.highest_of_all(group.rank() == 1 ? 15 : 0), 15);
    const std::string mine(static_cast<size_t>(group.rank() * 3), 'x');
    EXPECT_THAT(
        group.texts_of_all(mine + std::string("\0y", 2)),
        ElementsAre(std::string("\0y", 2), std::string("xxx\0y", 5), std::string("xxxxxx\0y", 8)));
    EXPECT_EQ(group.first_of_all(group.first() ? "word" : "not this"), "word");
    EXPECT_EQ(group.first_of_all(""), "");
    group.finish_all();
  });
  EXPECT_THAT(errors, ElementsAre("", "", ""));
}

// A backend that is named is used, so one process can show that it works.
TEST_F(GroupTest, AloneItExchangesWithItselfWhenABackendIsNamed) {
  EXPECT_FALSE(Group(Launch()).exchanges());
  Group group(Launch(), {.backend = Backend::kGloo});
  EXPECT_TRUE(group.exchanges());
  std::vector<double> sums = {2};
  group.sum_all(sums);
  EXPECT_THAT(sums, ElementsAre(2));
  EXPECT_EQ(group.highest_of_all(3), 3);
  EXPECT_THAT(group.texts_of_all("a"), ElementsAre("a"));
  group.finish_all();
}

TEST(BackendNames, AreThree) {
  EXPECT_EQ(backend_named("auto"), Backend::kAuto);
  EXPECT_EQ(backend_named("gloo"), Backend::kGloo);
  EXPECT_EQ(backend_named("nccl"), Backend::kNccl);
  EXPECT_THROW(backend_named("mpi"), UsageError);
}

TEST_F(GroupTest, AloneItIsAsIfItWereNotThere) {
  Group group;
  std::vector<double> sums = {2};
  group.sum_all(sums);
  EXPECT_THAT(sums, ElementsAre(2));
  EXPECT_EQ(group.highest_of_all(3), 3);
  EXPECT_THAT(group.texts_of_all("a"), ElementsAre("a"));
  EXPECT_TRUE(group.fail("whatever"));
  group.finish_all();
}

TEST_F(GroupTest, NamesWhoDidNotCome) {
  std::string error;
  try {
    Group group(member(1, 3), {std::chrono::seconds(1), std::chrono::seconds(1)});
  } catch (const Error& e) {
    error = e.what();
  }
  EXPECT_THAT(error, HasSubstr("rank 0, 2"));
}

TEST_F(GroupTest, ARankThatFailsIsNamedWithItsReason) {
  const auto errors = run(3, [](Group& group) {
    if (group.rank() == 1) {
      EXPECT_TRUE(group.fail("its disk is full"));
      return;
    }
    group.highest_of_all(0);
  });
  for (const int rank : {0, 2}) {
    EXPECT_THAT(errors[rank], HasSubstr("rank 1"));
    EXPECT_THAT(errors[rank], HasSubstr("its disk is full"));
  }
}

TEST_F(GroupTest, TheSameReasonIsSaidOnce) {
  std::mutex mutex;
  int speakers = 0;
  run(3, [&](Group& group) {
    const bool speaks = group.fail("no such folder");
    const std::lock_guard lock(mutex);
    speakers += speaks;
  });
  EXPECT_EQ(speakers, 1);
}

TEST_F(GroupTest, WhoDoesNotComeInTimeIsNamed) {
  const auto errors = run(2, [](Group& group) {
    if (group.rank() == 0) std::this_thread::sleep_for(std::chrono::seconds(8));
    group.highest_of_all(0);
  });
  EXPECT_THAT(errors[1], HasSubstr("rank 0"));
  EXPECT_THAT(errors[1], HasSubstr("did not come"));
}

}  // namespace
}  // namespace nestvit::train

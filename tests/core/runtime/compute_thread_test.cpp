// Counting processors from forged /proc and /sys trees, and the compute thread.
#include "runtime/compute_thread.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>
#include <omp.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/runtime/forked.h"

#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

class Cgroup : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  const testing::TempDir folder_;
  const fs::path root_ = folder_.path();
};

TEST_F(Cgroup, NoneMeansNoQuota) { EXPECT_EQ(cgroup_processors(root_), 0); }

TEST_F(Cgroup, Version2SmallestQuotaOfTheBranchHolds) {
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_processors(root_), 0);
  write("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(cgroup_processors(root_), 3);  // rounded up
  write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(cgroup_processors(root_), 3);
  write("sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(cgroup_processors(root_), 1);
}

TEST_F(Cgroup, InsideAContainerTheRootHolds) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(cgroup_processors(root_), 2);
}

TEST_F(Cgroup, Version1) {
  write("proc/self/cgroup", "3:memory:/m\n2:cpu,cpuacct:/g\n1:cpuset:/\n0::/\n");
  write("sys/fs/cgroup/cpu/g/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu/g/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(cgroup_processors(root_), 0);
  write("sys/fs/cgroup/cpu/g/cpu.cfs_quota_us", "150000\n");
  EXPECT_EQ(cgroup_processors(root_), 2);
}

TEST_F(Cgroup, NonsenseMeansNoQuota) {
  for (const char* text :
       {"", "x y", "100000", "100000 0", "-5 100000", "99999999999999999999 1", "0::"}) {
    write("proc/self/cgroup", text);
    EXPECT_EQ(cgroup_processors(root_), 0) << text;
    write("proc/self/cgroup", "0::/\n");
    write("sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(cgroup_processors(root_), 0) << text;
  }
}

TEST(ThreadCount, RequestThenEnvironmentThenMachine) {
  const char* set = std::getenv("OMP_NUM_THREADS");
  const std::string saved = set ? set : "";
  EXPECT_EQ(thread_count(3), 3);
  setenv("OMP_NUM_THREADS", "5,2", 1);
  EXPECT_EQ(thread_count(0), 5);
  EXPECT_EQ(thread_count(3), 3);
  unsetenv("OMP_NUM_THREADS");
  const int machine = thread_count(0);
  EXPECT_GE(machine, 1);
  EXPECT_LE(machine, static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  setenv("OMP_NUM_THREADS", "many", 1);
  EXPECT_EQ(thread_count(0), machine);
  set ? setenv("OMP_NUM_THREADS", saved.c_str(), 1) : unsetenv("OMP_NUM_THREADS");
}

TEST(ThreadCount, NonsenseIsAUsageError) {
  EXPECT_THROW(thread_count(-1), UsageError);
  EXPECT_THROW(thread_count(100000), UsageError);
}

TEST(ComputeThread, RunsOneCallAfterTheOtherOnOneThread) {
  ComputeThread compute(2);
  std::atomic<int> inside = 0, calls = 0;
  std::atomic<bool> alone = true;
  std::thread::id id;
  compute.run([&] { id = std::this_thread::get_id(); });
  EXPECT_NE(id, std::this_thread::get_id());
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i)
    callers.emplace_back([&] {
      for (int j = 0; j < 50; ++j)
        compute.run([&] {
          if (++inside != 1 || std::this_thread::get_id() != id) alone = false;
          ++calls;
          --inside;
        });
    });
  for (auto& caller : callers) caller.join();
  EXPECT_TRUE(alone);
  EXPECT_EQ(calls, 400);
}

TEST(ComputeThread, PassesExceptionsOnAndGoesOn) {
  ComputeThread compute(1);
  EXPECT_THROW(compute.run([] { throw std::runtime_error("no"); }), std::runtime_error);
  bool ran = false;
  compute.run([&] { ran = true; });
  EXPECT_TRUE(ran);
}

// Threads of a team of the compute thread.
int team(ComputeThread& compute) {
  std::atomic<int> count = 0;
  compute.run([&] {
#pragma omp parallel
    ++count;
  });
  return count;
}

TEST(ComputeThread, ChildrenOfAForkHaveTheirOwn) {
  std::optional<ComputeThread> compute(2);
  ASSERT_EQ(team(*compute), 2);
  EXPECT_TRUE(testing::in_child([&] {
    const bool alone = team(*compute) == 2 && team(*compute) == 2;
    const bool below = testing::in_child([&] { return team(*compute) == 2; });
    compute.reset();
    return alone && below;
  }));
  EXPECT_TRUE(testing::in_child([&] {  // one that never computes
    compute.reset();
    return true;
  }));
  EXPECT_EQ(team(*compute), 2) << "the parent goes on";
}

TEST(ComputeThread, ManyThreadsOfAChildShareOne) {
  ComputeThread compute(2);
  ASSERT_EQ(team(compute), 2);
  EXPECT_TRUE(testing::in_child([&] {
    std::vector<std::thread::id> leaders(8);
    std::vector<std::thread> callers;
    for (auto& leader : leaders)
      callers.emplace_back([&] { compute.run([&] { leader = std::this_thread::get_id(); }); });
    for (auto& caller : callers) caller.join();
    return std::vector(leaders.size(), leaders[0]) == leaders;
  }));
}

// The child's copies of the locks may be held by threads that it does not have.
TEST(ComputeThread, AForkAmidCallsOfOtherThreads) {
  ComputeThread compute(2);
  std::atomic<bool> stop = false;
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i)
    callers.emplace_back([&] {
      while (!stop) team(compute);
    });
  int good = 0;
  while (good < 30 && testing::in_child([&] { return team(compute) == 2; })) ++good;
  stop = true;
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(good, 30);
}

#if defined(__SSE2__)
TEST(ComputeThread, FlushesDenormals) {
  ComputeThread compute(1);
  float product = 1;
  compute.run([&] {
    volatile float denormal = 1e-40f, one = 1;
    product = denormal * one;
  });
  EXPECT_EQ(product, 0);
  volatile float denormal = 1e-40f, one = 1;
  EXPECT_GT(denormal * one, 0) << "the caller's own mode must not change";
}
#endif

}  // namespace
}  // namespace nestvit

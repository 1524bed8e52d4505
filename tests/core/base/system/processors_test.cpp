// Counting processors from forged /proc and /sys trees, by affinity and by request.
#include "base/system/processors.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace nestvit {
namespace {

namespace fs = std::filesystem;

class Cgroup : public ::testing::Test {
 protected:
  Cgroup()
      : root_(fs::path(::testing::TempDir()) / ("nestvit_cgroup_" + std::to_string(::getpid()))) {}
  ~Cgroup() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  const fs::path root_;
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
  EXPECT_EQ(thread_count(0, 2), std::max(1, machine / 2));
  EXPECT_EQ(thread_count(0, 1 << 20), 1);
  setenv("OMP_NUM_THREADS", "many", 1);
  EXPECT_EQ(thread_count(0), machine);
  set ? setenv("OMP_NUM_THREADS", saved.c_str(), 1) : unsetenv("OMP_NUM_THREADS");
}

// Not hardware_concurrency(), which counts the machine's.
TEST(Processors, AreThoseOfTheAffinityMask) {
  int seen = 0;
  std::thread([&seen] {
    cpu_set_t allowed, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
      if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    seen = available_processors();
  }).join();
  EXPECT_EQ(seen, 1);
}

TEST(ThreadCount, NonsenseIsAUsageError) {
  EXPECT_THROW(thread_count(-1), UsageError);
  EXPECT_THROW(thread_count(100000), UsageError);
}

}  // namespace
}  // namespace nestvit

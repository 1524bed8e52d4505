// One leader, whoever calls.
#include "runtime/compute_thread.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/runtime/forked.h"

namespace nestvit {
namespace {

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
  if (testing::kForkAmidThreadsHangs)
    GTEST_SKIP() << "the sanitizer's allocator hangs after fork()";
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

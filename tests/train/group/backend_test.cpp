// Which ranks may use NCCL. Needs no GPU.
#include "train/group/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

namespace nestvit::train {
namespace {

using ::testing::HasSubstr;

TEST(BackendNames, AreThree) {
  EXPECT_EQ(backend_named("auto"), Backend::kAuto);
  EXPECT_EQ(backend_named("gloo"), Backend::kGloo);
  EXPECT_EQ(backend_named("nccl"), Backend::kNccl);
  EXPECT_THROW(backend_named("mpi"), UsageError);
}

TEST(Nccl, WantsTheModuleEverywhereAndAGpuForEach) {
  EXPECT_EQ(why_no_nccl({"+a 0000:01:00.0"}), "");
  EXPECT_EQ(why_no_nccl({"+a 0000:01:00.0", "+b 0000:01:00.0", "+a 0000:02:00.0"}), "");
  EXPECT_THAT(why_no_nccl({"+a 0000:01:00.0", "+b 0000:01:00.0", "+a 0000:01:00.0"}),
              HasSubstr("ranks 0 and 2 have the same GPU (a 0000:01:00.0)"));
  EXPECT_EQ(why_no_nccl({"+a 0000:01:00.0", "-it is not there"}), "rank 1: it is not there");
}

TEST(Nccl, IsRefusedOnTheCpu) {
  const Group named(Launch(), {.backend = Backend::kNccl});
  EXPECT_THROW(choose_backend(named, torch::kCPU), UsageError);
  const Group gloo(Launch(), {.backend = Backend::kGloo});
  EXPECT_NO_THROW(choose_backend(gloo, torch::kCPU));
  EXPECT_NO_THROW(choose_backend(Group::alone(), torch::kCPU));
}

}  // namespace
}  // namespace nestvit::train

// Running out of memory is a user's error that says what needs less.
#include "train/device/out_of_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <new>
#include <string>

#include "train/torch.h"

namespace nestvit::train {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Error error_of(const std::function<void()>& body) {
  try {
    explain_out_of_memory(body);
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "no nestvit::Error";
  return Error("");
}

TEST(OutOfMemory, WhatRunsOutIsSaidWithWhatToDo) {
  const Error gpu = error_of([] {
    TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate 2.00 GiB. ",
                     "GPU 0 has a total capacity of 79.11 GiB");
  });
  EXPECT_THAT(gpu.what(), HasSubstr("CUDA out of memory"));
  EXPECT_THAT(gpu.what(), Not(HasSubstr("frame"))) << "no backtrace";
  EXPECT_THAT(gpu.hint(), HasSubstr("--batch-size"));
  EXPECT_THAT(gpu.hint(), HasSubstr("--grad-checkpointing"));
  EXPECT_THAT(gpu.hint(), HasSubstr("--amp"));
  // More than any machine's address space: libtorch's own words.
  const Error cpu = error_of([] { torch::empty({int64_t{1} << 55}); });
  EXPECT_THAT(cpu.what(), HasSubstr("no memory left"));
  EXPECT_THAT(cpu.hint(), HasSubstr("--batch-size"));
  EXPECT_THAT(error_of([] { throw std::bad_alloc(); }).what(), HasSubstr("no memory left"));
}

TEST(OutOfMemory, OtherErrorsPass) {
  EXPECT_NO_THROW(explain_out_of_memory([] {}));
  EXPECT_THROW(explain_out_of_memory([] { TORCH_CHECK(false, "another"); }), c10::Error);
  EXPECT_THROW(explain_out_of_memory([] { throw UsageError("wrong"); }), UsageError);
}

}  // namespace
}  // namespace nestvit::train

// A buffer's alignment and growth.
#include "runtime/buffer.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cstdint>

#include "base/system/sanitized.h"

namespace nestvit {
namespace {

TEST(Buffer, IsAlignedAndGrowsOnly) {
  Buffer buffer;
  EXPECT_EQ(buffer.data(), nullptr);
  float* few = buffer.reserve(3);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(few) % 64, 0u);
  EXPECT_EQ(buffer.data(), few);
  few[0] = 5;
  EXPECT_EQ(buffer.reserve(2), few);
  EXPECT_EQ(few[0], 5);
  float* many = buffer.reserve(1 << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(many) % 64, 0u);
  many[(1 << 20) - 1] = 7;
  EXPECT_EQ(buffer.reserve(1), many);
}

TEST(Buffer, TooLargeIsAnError) {
#ifdef NESTVIT_SANITIZED
  GTEST_SKIP() << "the sanitizer ends a program that asks for so much";
#endif
  Buffer buffer;
  EXPECT_THROW(buffer.reserve(int64_t{1} << 55), Error);
}

}  // namespace
}  // namespace nestvit

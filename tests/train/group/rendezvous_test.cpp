// Processes that do not connect.
#include "train/group/rendezvous.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "train/group/group_test.h"

namespace nestvit::train {
namespace {

using ::testing::HasSubstr;
using RendezvousTest = GroupTest;

TEST_F(RendezvousTest, NamesWhoDidNotCome) {
  std::string error;
  try {
    Group group(member(1, 3), {std::chrono::seconds(1), std::chrono::seconds(1)});
  } catch (const Error& e) {
    error = e.what();
  }
  EXPECT_THAT(error, HasSubstr("rank 0, 2"));
}

}  // namespace
}  // namespace nestvit::train

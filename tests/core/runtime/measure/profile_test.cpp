// The parts of a forward, and the sums of their times.
#include "runtime/measure/profile.h"

#include <gtest/gtest.h>

namespace nestvit {
namespace {

TEST(Profile, PartsAreTheWholeForward) {
  for (const std::string& name : variant_names()) {
    const NestConfig config = variant(name);
    int64_t sum = 0;
    for (const Level& level : geometry(config))
      for (int i = 0; i < kParts; ++i)
        sum += multiply_accumulates(config, level, static_cast<Part>(i));
    EXPECT_EQ(sum, multiply_accumulates(config)) << name;
  }
}

TEST(Profile, AddsUpThreadsOfAPartOfALevel) {
  Profile profile(2, 3);
  for (int thread = 0; thread < 3; ++thread) profile.add(thread, 1, Part::kFc1, 0.25);
  profile.add(2, 1, Part::kFc1, 1);
  profile.add(1, 0, Part::kHead, 2);
  EXPECT_EQ(profile.seconds(1, Part::kFc1), 1.75);
  EXPECT_EQ(profile.seconds(0, Part::kHead), 2);
  EXPECT_EQ(profile.seconds(0, Part::kFc1), 0);
  EXPECT_EQ(profile.seconds(1, Part::kHead), 0);
}

}  // namespace
}  // namespace nestvit

// Tests of one set of kernels after the other. All sets have their tests on every machine: those of
// a set that this process does not use are skipped, and say so.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace nestvit::testing {

// Names of all sets, as dispatch.cpp has them.
inline auto f32_sets() { return ::testing::Values("avx512", "avx2", "plain"); }
inline auto bf16_sets() { return ::testing::Values("avx512_bf16", "plain"); }
inline auto int8_sets() { return ::testing::Values("avx512_vnni", "avx2", "plain"); }

inline std::string set_name(const ::testing::TestParamInfo<const char*>& set) { return set.param; }

template <class Kernels>
class SetTest : public ::testing::TestWithParam<const char*> {
 protected:
  explicit SetTest(const std::vector<const Kernels*>& used)
      : found_(std::ranges::find(used, std::string_view(GetParam()), &Kernels::name)),
        is_used_(found_ != used.end()),
        kernel(is_used_ ? **found_ : *used.back()) {}

  void SetUp() override {
    if (!is_used_)
      GTEST_SKIP() << "needs " << GetParam()
                   << ", which this processor does not have or NESTVIT_ISA leaves out";
  }

 private:
  typename std::vector<const Kernels*>::const_iterator found_;
  const bool is_used_;

 protected:
  const Kernels& kernel;
};

}  // namespace nestvit::testing

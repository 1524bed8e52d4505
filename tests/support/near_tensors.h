// expect_near of near.h for torch's tensors.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "train/torch.h"

namespace nestvit::testing {

inline double largest(const torch::Tensor& x) { return x.abs().max().item<double>(); }

// |got - want| <= tolerance * (largest |want|), entry by entry; `floor` is always allowed. NaN
// fails.
inline void expect_near(const torch::Tensor& got, const torch::Tensor& want, double tolerance,
                        const std::string& what, double floor = 0) {
  ASSERT_EQ(got.sizes().vec(), want.sizes().vec()) << what;
  const double scale = largest(want), error = largest(got - want);
  ASSERT_GT(scale, 0) << what << ": an all-zero reference shows nothing";
  EXPECT_TRUE(error <= std::max(tolerance * scale, floor))
      << what << ": differs by " << error << ", " << error / scale
      << " of the largest entry, allowed " << tolerance;
}

}  // namespace nestvit::testing

// Tensors that are the same to the bit: type, shape and bytes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "weights/tensor.h"

namespace nestvit::testing {

inline bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin(), b.bytes().end());
}

inline void expect_same(const TensorMap& got, const TensorMap& want, const std::string& what) {
  EXPECT_EQ(got.size(), want.size()) << what;
  for (const auto& [name, tensor] : want) {
    const auto found = got.find(name);
    ASSERT_NE(found, got.end()) << what << " has no " << name;
    EXPECT_TRUE(same(found->second, tensor)) << what << " " << name;
  }
}

}  // namespace nestvit::testing

// Normal numbers for tests of kernels: the same for the same seed.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"

namespace nestvit::testing {

inline std::vector<float> random_floats(int64_t count, uint64_t seed, float spread = 1,
                                        float centre = 0) {
  Rng rng(seed, Purpose::kTest);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = centre + spread * rng.normal();
  return values;
}

}  // namespace nestvit::testing

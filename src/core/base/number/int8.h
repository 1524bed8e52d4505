// Rounding numbers to 8-bit integers with a common scale, for stored weights and for products.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>

namespace nestvit {

// max|x| / 127, the divisor of the values. Rounded values times this scale have the same scale, up
// to an ulp, and round to themselves. When a value is not finite, the scale is not either.
inline float int8_scale(std::span<const float> values) {
  uint32_t largest = 0;  // by bits: NaN and infinity are larger than any number
  for (const float value : values)
    largest = std::max(largest, std::bit_cast<uint32_t>(std::fabs(value)));
  return std::bit_cast<float>(largest) / 127;
}

// round(value / scale), ties to even, within [-127, 127]; 0 where the scale is 0 or not finite.
inline int8_t int8_value(float value, float scale) {
  if (!(scale > 0) || std::isinf(scale)) return 0;
  return static_cast<int8_t>(std::clamp(std::nearbyint(value / scale), -127.0f, 127.0f));
}

}  // namespace nestvit

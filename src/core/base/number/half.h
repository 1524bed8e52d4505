// float <-> bfloat16 and IEEE half, bit patterns as uint16_t. Widening is exact; narrowing rounds
// to nearest, ties to even. Every function is `static` and free of the standard library: files
// built with their own -m flags include this, and an `inline` copy of theirs must never be what the
// linker hands to generic code.
#pragma once

#include <stdint.h>

namespace nestvit {

static inline float f32_from_bits(uint32_t bits) { return __builtin_bit_cast(float, bits); }
static inline uint32_t f32_bits(float value) { return __builtin_bit_cast(uint32_t, value); }

static inline float bf16_to_f32(uint16_t value) {
  return f32_from_bits(static_cast<uint32_t>(value) << 16);
}

static inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = f32_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u)  // NaN: keep it one when the low half alone says so
    return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float f16_to_f32(uint16_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x8000u) << 16;
  const uint32_t exponent = (value >> 10) & 0x1fu;
  const uint32_t mantissa = value & 0x3ffu;
  if (exponent == 0x1f) return f32_from_bits(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24, exact in float
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return f32_from_bits(sign | f32_bits(magnitude));
  }
  return f32_from_bits(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

static inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = f32_bits(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)  // NaN
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u)
    return static_cast<uint16_t>(sign | 0x7c00u);  // rounds beyond 65504
  if (magnitude < 0x38800000u) {
    // Below 2^-14 half's spacing is 2^-24, which is float's own spacing in [0.5, 1): adding 0.5
    // rounds there.
    const uint32_t rounded = f32_bits(f32_from_bits(magnitude) + 0.5f);
    return static_cast<uint16_t>(sign | (rounded - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace nestvit

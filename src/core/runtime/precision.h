// The types that products compute in.
#pragma once

#include <optional>
#include <string_view>

namespace nestvit {

// What the products of a forward round their operands to; all else is f32. kInt8: weights to a
// scale per output column, activations to one per token, found on the fly.
enum class Precision { kF32, kBf16, kInt8 };
constexpr Precision kPrecisions[] = {Precision::kF32, Precision::kBf16, Precision::kInt8};

constexpr const char* precision_name(Precision precision) {
  switch (precision) {
    case Precision::kBf16:
      return "bf16";
    case Precision::kInt8:
      return "int8";
    default:
      return "f32";
  }
}

constexpr std::optional<Precision> precision_named(std::string_view name) {
  for (const Precision precision : kPrecisions)
    if (name == precision_name(precision)) return precision;
  return std::nullopt;
}

// Throws UsageError where the processor, or NESTVIT_ISA, does not allow it, and for a NESTVIT_ISA
// that is none of its words.
void check_processor(Precision precision);

}  // namespace nestvit

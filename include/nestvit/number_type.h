// The number types that nestvit computes with and stores weights in.
#pragma once

#include <optional>
#include <string_view>

namespace nestvit {

// In a forward, products round their operands to this type; all else is f32. kBf16 needs a
// processor with AVX512_BF16. kInt8 runs on all, fastest with AVX512_VNNI and slower than f32
// without AVX2: weights have a scale per output column, activations one per token, found on the
// fly. In a file, weights are stored in this type.
enum class NumberType { kF32, kBf16, kInt8 };
inline constexpr NumberType kNumberTypes[] = {NumberType::kF32, NumberType::kBf16,
                                              NumberType::kInt8};

// "f32", "bf16" or "int8", as --dtype and config.json spell it.
constexpr const char* number_type_name(NumberType type) {
  switch (type) {
    case NumberType::kBf16:
      return "bf16";
    case NumberType::kInt8:
      return "int8";
    default:
      return "f32";
  }
}

constexpr std::optional<NumberType> number_type_named(std::string_view name) {
  for (const NumberType type : kNumberTypes)
    if (name == number_type_name(type)) return type;
  return std::nullopt;
}

}  // namespace nestvit

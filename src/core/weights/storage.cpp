// Rounding weights for a file, and widening them again.
#include "weights/storage.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/number/half.h"
#include "base/number/int8.h"

namespace nestvit {
namespace {

constexpr std::string_view kWeight = ".weight", kScale = "_scale";

bool is_rounded(const std::string& name, const Tensor& tensor) {
  return tensor.shape().size() > 1 && name.ends_with(kWeight) && !name.starts_with("patch_embed") &&
         !name.starts_with("head");
}

Tensor as_bf16(const Tensor& tensor) {
  std::vector<uint16_t> values;
  for (const float value : tensor.as<float>()) values.push_back(f32_to_bf16(value));
  return Tensor::bf16(tensor.shape(), std::move(values));
}

std::pair<Tensor, Tensor> as_int8(const Tensor& tensor) {
  const auto values = tensor.as<float>();
  const auto rows = static_cast<size_t>(tensor.dim(0));
  const size_t width = values.size() / rows;
  std::vector<int8_t> whole;
  std::vector<float> scales;
  for (size_t r = 0; r < rows; ++r) {
    const auto row = values.subspan(r * width, width);
    scales.push_back(int8_scale(row));
    for (const float value : row) whole.push_back(int8_value(value, scales.back()));
  }
  return {Tensor::i8(tensor.shape(), std::move(whole)),
          Tensor::f32({tensor.dim(0)}, std::move(scales))};
}

// Whether every byte times the scale is finite.
bool is_finite_scale(float scale) { return std::isfinite(128 * scale); }

// Near f32's largest number the nearest bf16 is infinity, and 8-bit integers come close to it.
void check_size(const std::string& name, const Tensor& tensor, NumberType storage) {
  float largest = 0;
  for (const float value : tensor.as<float>()) largest = std::max(largest, std::fabs(value));
  const bool fits = storage == NumberType::kBf16 ? std::isfinite(bf16_to_f32(f32_to_bf16(largest)))
                                                 : is_finite_scale(int8_scale({&largest, 1}));
  if (!fits)
    throw Error(fmt::format("{} has a value of size {:.4g}, too large for weights in {}", name,
                            largest, number_type_name(storage)),
                "no training makes such weights: look at where they come from");
}

void check_scale(const Tensor& scale, const std::string& name, const Tensor& tensor,
                 const std::string& origin) {
  constexpr const char* kHint = "the file is damaged, or no other program's: write it anew";
  if (tensor.shape().empty() || scale.dtype() != DType::kF32 ||
      scale.shape() != std::vector<int64_t>{tensor.dim(0)})
    throw Error(
        fmt::format("{}: {}_scale is {} {}, expected F32, one number for each of the rows of {} {}",
                    origin, name, dtype_name(scale.dtype()), shape_text(scale.shape()), name,
                    shape_text(tensor.shape())),
        kHint);
  for (const float value : scale.as<float>())
    if (!(is_finite_scale(value) && value >= 0))
      throw Error(fmt::format("{}: {}_scale has {}, expected numbers from 0 to {:.3g}", origin,
                              name, value, std::numeric_limits<float>::max() / 128),
                  kHint);
}

double relative_difference(std::span<const float> before, std::span<const float> after) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const double value = before[i], change = after[i] - value;
    difference += change * change;
    size += value * value;
  }
  return size > 0 ? std::sqrt(difference / size) : 0;
}

}  // namespace

void check_storage(const TensorMap& tensors, NumberType storage, const std::string& origin) {
  const DType expected = storage == NumberType::kInt8   ? DType::kI8
                         : storage == NumberType::kBf16 ? DType::kBF16
                                                        : DType::kF32;
  for (const auto& [name, tensor] : tensors)
    if (is_rounded(name, tensor) && tensor.dtype() != expected)
      throw Error(fmt::format("{}: {} is {}, expected {}: config.json says that its weights are {}",
                              origin, name, dtype_name(tensor.dtype()), dtype_name(expected),
                              number_type_name(storage)),
                  "the two files are not of the same nestvit quantize: write both anew");
}

Rounding worst_rounding(const TensorMap& before, const TensorMap& after) {
  Rounding worst;
  for (const auto& [name, tensor] : before) {
    const double relative = relative_difference(tensor.as<float>(), after.at(name).as<float>());
    if (relative > worst.relative) worst = {name, relative};
  }
  return worst;
}

TensorMap stored(const TensorMap& tensors, NumberType storage) {
  TensorMap result = tensors;
  for (const auto& [name, tensor] : tensors) {
    if (storage == NumberType::kF32 || !is_rounded(name, tensor)) continue;
    check_size(name, tensor, storage);
    if (storage == NumberType::kBf16) {
      result[name] = as_bf16(tensor);
      continue;
    }
    auto [whole, scales] = as_int8(tensor);
    result[name] = std::move(whole);
    result[name + std::string(kScale)] = std::move(scales);
  }
  return result;
}

TensorMap with_scales(TensorMap tensors, const std::string& origin) {
  for (auto& [name, tensor] : tensors) {
    if (tensor.dtype() != DType::kI8) continue;
    const auto scale = tensors.find(name + std::string(kScale));
    if (scale == tensors.end())
      throw Error(fmt::format("{}: {} is I8 and has no {}_scale", origin, name, name),
                  "only nestvit quantize's 8-bit weights can be read");
    check_scale(scale->second, name, tensor, origin);
    const auto scales = scale->second.as<float>();
    tensor = tensor.scaled({scales.begin(), scales.end()});
    tensors.erase(scale);  // comes after `tensor` in the map
  }
  return tensors;
}

}  // namespace nestvit

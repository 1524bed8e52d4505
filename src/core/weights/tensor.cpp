// Named tensors: construction, typed views and conversion to float.
#include "weights/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <cstring>

#include "base/check.h"
#include "base/fields.h"
#include "base/file.h"
#include "base/number/half.h"

namespace nestvit {
namespace {

template <class T>
struct StoredAs;
template <>
struct StoredAs<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct StoredAs<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct StoredAs<int64_t> {
  static constexpr DType value = DType::kI64;
};
template <>
struct StoredAs<int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct StoredAs<int16_t> {
  static constexpr DType value = DType::kI16;
};
template <>
struct StoredAs<int8_t> {
  static constexpr DType value = DType::kI8;
};
template <>
struct StoredAs<uint8_t> {
  static constexpr DType value = DType::kU8;
};

template <class T>
Tensor owning(DType dtype, std::vector<int64_t> shape, std::vector<T> values) {
  auto owner = std::make_shared<const std::vector<T>>(std::move(values));
  const auto bytes = std::as_bytes(std::span<const T>(*owner));
  return Tensor(dtype, std::move(shape), bytes, owner);
}

template <class T>
Tensor owning(std::vector<int64_t> shape, std::vector<T> values) {
  return owning(StoredAs<T>::value, std::move(shape), std::move(values));
}

template <class T, class Convert>
std::vector<float> converted(std::span<const std::byte> bytes, Convert convert) {
  std::vector<float> values(bytes.size() / sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));  // may be unaligned
    values[i] = convert(value);
  }
  return values;
}

template <class T>
std::vector<float> cast(std::span<const std::byte> bytes) {
  return converted<T>(bytes, [](T value) { return static_cast<float>(value); });
}

// Each row times its scale.
std::vector<float> times(std::vector<float> values, const std::vector<float>& scales) {
  const size_t width = scales.empty() ? 0 : values.size() / scales.size();
  float* row = values.data();
  for (const float scale : scales)
    for (const float* end = row + width; row < end; ++row) *row *= scale;
  return values;
}

}  // namespace

size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
      return 2;
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  throw std::logic_error("a dtype without a size");
}

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return "F64";
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kI64:
      return "I64";
    case DType::kI32:
      return "I32";
    case DType::kI16:
      return "I16";
    case DType::kI8:
      return "I8";
    case DType::kU8:
      return "U8";
    case DType::kBool:
      return "BOOL";
  }
  throw std::logic_error("a dtype without a name");
}

std::optional<int64_t> element_count(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  bool empty = false;  // a zero anywhere makes the product zero, yet the other factors may overflow
  for (int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) empty = true;
    if (!empty && __builtin_mul_overflow(count, extent, &count)) return std::nullopt;
  }
  return empty ? 0 : count;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Tensor Tensor::unaligned(DType dtype, std::vector<int64_t> shape, std::span<const std::byte> bytes,
                         std::shared_ptr<const void> owner) {
  const auto count = element_count(shape);
  NESTVIT_CHECK(count && static_cast<uint64_t>(*count) == bytes.size() / dtype_size(dtype) &&
                bytes.size() % dtype_size(dtype) == 0);
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.shape_ = std::move(shape);
  tensor.bytes_ = bytes;
  tensor.owner_ = std::move(owner);
  return tensor;
}

Tensor::Tensor(DType dtype, std::vector<int64_t> shape, std::span<const std::byte> bytes,
               std::shared_ptr<const void> owner)
    : Tensor(unaligned(dtype, std::move(shape), bytes, std::move(owner))) {
  // A file may place values at any byte; typed views need them aligned.
  if (reinterpret_cast<uintptr_t>(bytes.data()) % dtype_size(dtype) != 0) {
    auto copy = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
    bytes_ = *copy;
    owner_ = std::move(copy);
  }
}

void Tensor::lies_in(std::shared_ptr<const MappedFile> file) {
  const std::span<const std::byte> all = file->bytes();
  const std::less_equal<const std::byte*> before;
  if (before(all.data(), bytes_.data()) &&
      before(bytes_.data() + bytes_.size(), all.data() + all.size()))
    file_ = std::move(file);
}

void Tensor::forget() const {
  if (file_) file_->forget(bytes_);
}

Tensor Tensor::f32(std::vector<int64_t> shape, std::vector<float> values) {
  return owning(std::move(shape), std::move(values));
}
Tensor Tensor::u8(std::vector<int64_t> shape, std::vector<uint8_t> values) {
  return owning(std::move(shape), std::move(values));
}
Tensor Tensor::i64(std::vector<int64_t> shape, std::vector<int64_t> values) {
  return owning(std::move(shape), std::move(values));
}
Tensor Tensor::i8(std::vector<int64_t> shape, std::vector<int8_t> values) {
  return owning(std::move(shape), std::move(values));
}
Tensor Tensor::bf16(std::vector<int64_t> shape, std::vector<uint16_t> bits) {
  return owning(DType::kBF16, std::move(shape), std::move(bits));
}

Tensor Tensor::scaled(std::vector<float> scales) const {
  NESTVIT_CHECK(dtype_ == DType::kI8 && !shape_.empty() && std::ssize(scales) == shape_[0]);
  Tensor other = *this;
  other.scales_ = std::make_shared<const std::vector<float>>(std::move(scales));
  return other;
}

int64_t Tensor::size() const { return static_cast<int64_t>(bytes_.size() / dtype_size(dtype_)); }

template <class T>
std::span<const T> Tensor::as() const {
  if (dtype_ != StoredAs<T>::value)
    throw Error(fmt::format("a tensor {} holds {} values, expected {}", shape_text(shape_),
                            dtype_name(dtype_), dtype_name(StoredAs<T>::value)));
  NESTVIT_CHECK(reinterpret_cast<uintptr_t>(bytes_.data()) % alignof(T) == 0);
  return {reinterpret_cast<const T*>(bytes_.data()), bytes_.size() / sizeof(T)};
}
template std::span<const double> Tensor::as() const;
template std::span<const float> Tensor::as() const;
template std::span<const int64_t> Tensor::as() const;
template std::span<const int32_t> Tensor::as() const;
template std::span<const int16_t> Tensor::as() const;
template std::span<const int8_t> Tensor::as() const;
template std::span<const uint8_t> Tensor::as() const;

std::vector<float> Tensor::to_f32() const {
  switch (dtype_) {
    case DType::kF64:
      return cast<double>(bytes_);
    case DType::kF32:
      return cast<float>(bytes_);
    case DType::kF16:
      return converted<uint16_t>(bytes_, f16_to_f32);
    case DType::kBF16:
      return converted<uint16_t>(bytes_, bf16_to_f32);
    case DType::kI64:
      return cast<int64_t>(bytes_);
    case DType::kI32:
      return cast<int32_t>(bytes_);
    case DType::kI16:
      return cast<int16_t>(bytes_);
    case DType::kI8:
      return scales_ ? times(cast<int8_t>(bytes_), *scales_) : cast<int8_t>(bytes_);
    case DType::kU8:
    case DType::kBool:
      return cast<uint8_t>(bytes_);
  }
  throw std::logic_error("a dtype without a conversion");
}

Tensor Tensor::reshaped(std::vector<int64_t> shape) const {
  NESTVIT_CHECK(element_count(shape) == size());
  Tensor other = *this;
  other.shape_ = std::move(shape);
  return other;
}

const Tensor& find_tensor(const TensorMap& tensors, const std::string& name,
                          const std::string& origin) {
  const auto found = tensors.find(name);
  if (found != tensors.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [present, _] : tensors) names.push_back(present);
  const std::string close = nearest(name, names);
  throw Error(
      fmt::format("{} has no tensor \"{}\" (it holds {} tensors)", origin, name, names.size()),
      close.empty() ? "" : fmt::format("the nearest name in it is \"{}\"", close));
}

}  // namespace nestvit

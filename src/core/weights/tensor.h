// Named tensors, as files hold them: dtype, shape, and bytes that may lie in a mapped file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace nestvit {

class MappedFile;

enum class DType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };
size_t dtype_size(DType dtype);
const char* dtype_name(DType dtype);  // safetensors' spelling: "F32"

// Row-major, immutable, cheap to copy (the bytes are shared).
class Tensor {
 public:
  Tensor() = default;
  // `owner` keeps `bytes` alive (a MappedFile, a vector). Bytes that are not aligned for `dtype`
  // are copied.
  Tensor(DType dtype, std::vector<int64_t> shape, std::span<const std::byte> bytes,
         std::shared_ptr<const void> owner);
  // The same without a copy, wherever the bytes lie: for values that are converted once (to_f32);
  // as() needs aligned ones.
  static Tensor unaligned(DType dtype, std::vector<int64_t> shape, std::span<const std::byte> bytes,
                          std::shared_ptr<const void> owner);
  static Tensor f32(std::vector<int64_t> shape, std::vector<float> values);
  static Tensor u8(std::vector<int64_t> shape, std::vector<uint8_t> values);
  static Tensor i64(std::vector<int64_t> shape, std::vector<int64_t> values);
  static Tensor i8(std::vector<int64_t> shape, std::vector<int8_t> values);
  static Tensor bf16(std::vector<int64_t> shape, std::vector<uint16_t> bits);

  DType dtype() const { return dtype_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  int64_t dim(size_t i) const { return shape_.at(i); }
  int64_t size() const;  // elements
  std::span<const std::byte> bytes() const { return bytes_; }
  // These 8-bit integers (I8) as numbers, each times the scale of its row; `scales` has dim(0).
  Tensor scaled(std::vector<float> scales) const;
  bool is_scaled() const { return scales_ != nullptr; }
  // The values, when they are stored as T (float, double, int64_t, int32_t, int16_t, int8_t,
  // uint8_t); Error otherwise.
  template <class T>
  std::span<const T> as() const;
  // Any floating dtype or integer, converted (F16 and BF16 exactly), times the scales where there
  // are any.
  std::vector<float> to_f32() const;
  Tensor reshaped(std::vector<int64_t> shape) const;

  // Notes the mapped file, if the bytes lie in one, so that forget() can give their memory back to
  // the system: a later access reads them from the file again.
  void lies_in(std::shared_ptr<const MappedFile> file);
  void forget() const;

 private:
  DType dtype_ = DType::kF32;
  std::vector<int64_t> shape_;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  std::shared_ptr<const MappedFile> file_;
  std::shared_ptr<const std::vector<float>> scales_;
};

using TensorMap = std::map<std::string, Tensor>;

std::string shape_text(const std::vector<int64_t>& shape);  // "[2, 3, 32, 32]"

// The product; nothing when an extent is negative or the product does not fit (a hostile file).
std::optional<int64_t> element_count(const std::vector<int64_t>& shape);

// The tensor of that name. Throws Error that names `origin` and the nearest present name.
const Tensor& find_tensor(const TensorMap& tensors, const std::string& name,
                          const std::string& origin);

}  // namespace nestvit

// Tensors: typed views, conversion to float, misaligned bytes, and names that are not there.
#include "weights/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cstring>

namespace nestvit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
Tensor stored(DType dtype, std::vector<T> values) {
  auto owner = std::make_shared<const std::vector<T>>(std::move(values));
  return Tensor(dtype, {static_cast<int64_t>(owner->size())},
                std::as_bytes(std::span<const T>(*owner)), owner);
}

TEST(Tensor, ViewsItsOwnTypeOnly) {
  const Tensor tensor = Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(tensor.size(), 6);
  EXPECT_EQ(tensor.dim(1), 3);
  EXPECT_THAT(tensor.as<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THROW(tensor.as<uint8_t>(), Error);
  EXPECT_THROW(tensor.as<int64_t>(), Error);
  EXPECT_THAT(Tensor::u8({2}, {7, 255}).as<uint8_t>(), ElementsAre(7, 255));
  EXPECT_THAT(Tensor::i64({2}, {-7, 1}).as<int64_t>(), ElementsAre(-7, 1));
}

TEST(Tensor, ConvertsEveryTypeToFloat) {
  EXPECT_THAT(stored<double>(DType::kF64, {0.5, -3}).to_f32(), ElementsAre(0.5f, -3.f));
  EXPECT_THAT(stored<float>(DType::kF32, {0.1f}).to_f32(), ElementsAre(0.1f));
  EXPECT_THAT(stored<uint16_t>(DType::kF16, {0x3c00, 0xc000, 0x0001}).to_f32(),
              ElementsAre(1.f, -2.f, 0x1p-24f));
  EXPECT_THAT(stored<uint16_t>(DType::kBF16, {0x3f80, 0xc000}).to_f32(), ElementsAre(1.f, -2.f));
  EXPECT_THAT(stored<int64_t>(DType::kI64, {-5}).to_f32(), ElementsAre(-5.f));
  EXPECT_THAT(stored<int32_t>(DType::kI32, {-6}).to_f32(), ElementsAre(-6.f));
  EXPECT_THAT(stored<int16_t>(DType::kI16, {-7}).to_f32(), ElementsAre(-7.f));
  EXPECT_THAT(stored<int8_t>(DType::kI8, {-8}).to_f32(), ElementsAre(-8.f));
  EXPECT_THAT(stored<uint8_t>(DType::kU8, {200}).to_f32(), ElementsAre(200.f));
  EXPECT_THAT(stored<uint8_t>(DType::kBool, {1, 0}).to_f32(), ElementsAre(1.f, 0.f));
}

TEST(Tensor, ScaledIntegersAreTimesTheirRowsScale) {
  const Tensor whole = Tensor::i8({2, 3}, {1, -128, 127, 4, 0, -1});
  EXPECT_FALSE(whole.is_scaled());
  const Tensor scaled = whole.scaled({0.5f, 3});
  EXPECT_TRUE(scaled.is_scaled());
  EXPECT_EQ(scaled.to_f32(), (std::vector<float>{0.5f, -64, 63.5f, 12, 0, -3}));
  EXPECT_EQ(whole.to_f32(), (std::vector<float>{1, -128, 127, 4, 0, -1}));
}

TEST(Tensor, ReadsBytesAtAnyAddress) {
  const std::vector<float> values = {1.5f, -2.25f};
  for (size_t shift = 0; shift < 4; ++shift) {
    auto buffer = std::make_shared<std::vector<std::byte>>(16);
    std::memcpy(buffer->data() + shift, values.data(), 8);
    const Tensor tensor(DType::kF32, {2}, std::span<const std::byte>(*buffer).subspan(shift, 8),
                        buffer);
    buffer.reset();  // the tensor owns what it views
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.as<float>().data()) % alignof(float), 0u);
    EXPECT_THAT(tensor.as<float>(), ElementsAre(1.5f, -2.25f));
    EXPECT_THAT(tensor.to_f32(), ElementsAre(1.5f, -2.25f));
  }
}

TEST(Tensor, KeepsItsBytesWhenCopiedAndReshaped) {
  Tensor copy;
  {
    const Tensor tensor = Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6});
    copy = tensor.reshaped({3, 2});
  }
  EXPECT_THAT(copy.shape(), ElementsAre(3, 2));
  EXPECT_THAT(copy.as<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THROW(copy.reshaped({7}), std::logic_error);
}

TEST(Tensor, CountsWithoutOverflow) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({2, 3}), 6);
  EXPECT_EQ(element_count({0, INT64_MAX, INT64_MAX}), 0);
  EXPECT_EQ(element_count({INT64_MAX, INT64_MAX, 0}), std::nullopt);
  EXPECT_EQ(element_count({INT64_MAX, 2}), std::nullopt);
  EXPECT_EQ(element_count({-1}), std::nullopt);
}

TEST(Tensor, NamesTheNearestWhenOneIsMissing) {
  const TensorMap tensors = {{"head.weight", Tensor::f32({1}, {0})},
                             {"norm.weight", Tensor::f32({1}, {0})}};
  EXPECT_EQ(find_tensor(tensors, "head.weight", "file").size(), 1);
  try {
    find_tensor(tensors, "head.weigth", "a/b.safetensors");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("a/b.safetensors"));
    EXPECT_THAT(e.what(), HasSubstr("head.weigth"));
    EXPECT_THAT(e.hint(), HasSubstr("head.weight"));
  }
}

}  // namespace
}  // namespace nestvit

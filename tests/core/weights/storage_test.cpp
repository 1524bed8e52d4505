// Weights in 8 bits and in bf16: what is rounded, by how much, and files that lie.
#include "weights/storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <limits>

#include "support/errors.h"
#include "support/temp_dir.h"
#include "weights/model_dir.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

LoadedModel model_of(const std::string& name) {
  LoadedModel model;
  model.config = variant(name);
  model.preprocessing =
      preprocessing_mode("timm", model.config.image_size, model.config.in_channels);
  model.tensors = initial_tensors(model.config, 5);
  return model;
}

// Weights of layers between patch embedding and head.
bool rounded(const std::string& name) {
  return name.starts_with("levels.") && name.ends_with(".weight") &&
         name.find("norm") == std::string::npos;
}

TEST(Storage, Int8IsWithinHalfAStepOfEachChannel) {
  const LoadedModel model = model_of("nest_tiny_s16_32");
  const TensorMap small = stored(model.tensors, NumberType::kInt8);
  const TensorMap back = as_f32(small, "test");
  ASSERT_EQ(back.size(), model.tensors.size());
  for (const auto& [name, tensor] : model.tensors) {
    const auto before = tensor.as<float>(), after = back.at(name).as<float>();
    EXPECT_EQ(small.at(name).dtype(), rounded(name) ? DType::kI8 : DType::kF32) << name;
    EXPECT_EQ(back.at(name).shape(), tensor.shape());
    if (!rounded(name)) {
      EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin())) << name;
      continue;
    }
    const auto scales = small.at(name + "_scale").as<float>();
    const size_t width = before.size() / scales.size();
    for (size_t i = 0; i < before.size(); ++i)
      ASSERT_LE(std::fabs(before[i] - double{after[i]}), 0.50002 * scales[i / width]) << name;
  }
}

TEST(Storage, Bf16IsWithinItsRounding) {
  const LoadedModel model = model_of("nest_tiny_s16_32");
  const TensorMap small = stored(model.tensors, NumberType::kBf16), back = as_f32(small, "test");
  for (const auto& [name, tensor] : model.tensors) {
    EXPECT_EQ(small.at(name).dtype(), rounded(name) ? DType::kBF16 : DType::kF32) << name;
    const auto before = tensor.as<float>(), after = back.at(name).as<float>();
    for (size_t i = 0; i < before.size(); ++i)
      ASSERT_LE(std::fabs(before[i] - after[i]), std::fabs(before[i]) / 256) << name;
  }
}

// A second time nothing is lost.
TEST(Storage, IsItsOwnFixedPoint) {
  const LoadedModel model = model_of("nest_tiny_s16_32");
  for (const NumberType storage : {NumberType::kBf16, NumberType::kInt8}) {
    const TensorMap small = stored(model.tensors, storage);
    const TensorMap again = stored(as_f32(small, "test"), storage);
    ASSERT_EQ(again.size(), small.size());
    for (const auto& [name, tensor] : small) {
      if (name.ends_with("_scale")) continue;
      const auto a = tensor.bytes(), b = again.at(name).bytes();
      EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << name;
    }
  }
}

TEST(Storage, DirectoriesAreSmallerAndRead) {
  const testing::TempDir folder;
  const LoadedModel model = model_of("nest_tiny_s16_32");
  const auto size = [&](const char* name, NumberType storage) {
    save_model(folder / name, model, storage);
    const LoadedModel read = load_model(folder / name);
    EXPECT_EQ(read.tensors.size(), model.tensors.size());
    return static_cast<double>(std::filesystem::file_size(folder / name / kWeightsFile));
  };
  const double f32 = size("f32", NumberType::kF32);
  EXPECT_LT(size("bf16", NumberType::kBf16), 0.55 * f32);
  EXPECT_LT(size("int8", NumberType::kInt8), 0.30 * f32);
}

TEST(Storage, ConfigJsonSaysTheTypeAndTheFileMustHaveIt) {
  const testing::TempDir folder;
  const LoadedModel model = model_of("nest_tiny_s16_32");
  for (const NumberType storage : {NumberType::kF32, NumberType::kBf16, NumberType::kInt8}) {
    const auto place = folder / number_type_name(storage);
    save_model(place, model, storage);
    const bool is_short = storage != NumberType::kF32;
    EXPECT_EQ(load_network_config(place).storage, is_short ? std::optional(storage) : std::nullopt);
    EXPECT_EQ(load_model(place).storage, load_network_config(place).storage);
  }
  for (const char* other : {"f32", "bf16"}) {
    write_safetensors(folder / "int8" / kWeightsFile,
                      read_safetensors(folder / other / kWeightsFile));
    try {
      load_model(folder / "int8");
      ADD_FAILURE() << other;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("expected I8"), HasSubstr("config.json says"),
                                      HasSubstr("levels.0.")));
    }
  }
  // A config.json that says nothing, as those of before had it, fits any file.
  std::filesystem::copy_file(folder / "f32" / kConfigFile, folder / "int8" / kConfigFile,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NO_THROW(load_model(folder / "int8"));
}

TEST(Storage, WhatCouldBecomeInfiniteIsAnError) {
  const float largest = std::numeric_limits<float>::max();
  for (const NumberType storage : {NumberType::kBf16, NumberType::kInt8}) {
    try {
      stored({{"a.weight", Tensor::f32({1, 2}, {0, -largest})}}, storage);
      ADD_FAILURE() << number_type_name(storage);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("a.weight"), HasSubstr("3.403e+38"),
                                      HasSubstr(number_type_name(storage))));
    }
    const TensorMap fits =
        stored({{"a.weight", Tensor::f32({1, 2}, {0, -0.99f * largest})}}, storage);
    EXPECT_TRUE(std::isfinite(as_f32(fits, "test").at("a.weight").as<float>()[1]));
  }
  EXPECT_NO_THROW(stored({{"a.bias", Tensor::f32({1}, {largest})}}, NumberType::kInt8));
}

TEST(Storage, TheWorstRoundingIsOfTheTensorsNorm) {
  const TensorMap before = {{"a.weight", Tensor::f32({1, 2}, {127, 0.4f})},
                            {"b.weight", Tensor::f32({1, 2}, {127, 100})},
                            {"b.bias", Tensor::f32({2}, {0.3f, 0.4f})}};
  const TensorMap after = as_f32(stored(before, NumberType::kInt8), "test");
  const Rounding worst = worst_rounding(before, after);
  EXPECT_EQ(worst.name, "a.weight");
  EXPECT_NEAR(worst.relative, 0.4 / std::sqrt(127 * 127 + 0.16), 1e-7);
  EXPECT_EQ(worst_rounding(after, after).name, "");
}

std::string refusal(const TensorMap& tensors) {
  return testing::error_of([&] { as_f32(tensors, "bad.safetensors"); });
}

TEST(Storage, ScalesThatAreWrongAreErrors) {
  const Tensor whole = Tensor::i8({2, 3}, {3, 3, 3, 3, 3, 3});
  EXPECT_THAT(refusal({{"a.weight", whole}}),
              AllOf(HasSubstr("bad.safetensors"), HasSubstr("a.weight is I8 and has no")));
  const auto with = [&](Tensor scale) {
    return refusal({{"a.weight", whole}, {"a.weight_scale", std::move(scale)}});
  };
  EXPECT_THAT(with(Tensor::f32({3}, {1, 1, 1})), AllOf(HasSubstr("F32 [3]"), HasSubstr("[2, 3]")));
  EXPECT_THAT(with(Tensor::f32({2, 1}, {1, 1})), HasSubstr("F32 [2, 1]"));
  EXPECT_THAT(with(Tensor::u8({2}, {1, 1})), HasSubstr("U8 [2]"));
  EXPECT_THAT(with(Tensor::f32({2}, {1, -1})), HasSubstr("-1"));
  EXPECT_THAT(with(Tensor::f32({2}, {1, std::numeric_limits<float>::infinity()})),
              HasSubstr("inf"));
  EXPECT_THAT(with(Tensor::f32({2}, {1, std::numeric_limits<float>::max() / 127})),
              HasSubstr("from 0 to"));
  EXPECT_THAT(refusal({{"a", Tensor::i8({}, {3})}, {"a_scale", Tensor::f32({}, {1})}}),
              HasSubstr("one number for each of the rows"));
  EXPECT_NO_THROW(
      as_f32({{"a.weight", whole}, {"a.weight_scale", Tensor::f32({2}, {1, 0})}}, "good"));
}

}  // namespace
}  // namespace nestvit

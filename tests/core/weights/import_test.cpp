// Weights of every form, told apart by content, and files that hold no weights.
#include "weights/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>

#include "base/file.h"
#include "core/weights/small_model.h"
#include "support/errors.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"
#include "weights/config_json.h"
#include "weights/export.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::small_model;

class Import : public ::testing::Test {
 protected:
  fs::path path(const std::string& name) const { return folder_ / name; }
  std::string refusal(const fs::path& file) const {
    return testing::error_of([&] { import_model(file); });
  }
  const testing::TempDir folder_;
};

// The form is told by content: any name will do.
TEST_F(Import, ExtensionsSayNothing) {
  const LoadedModel model = small_model();
  export_model(model, ExportFormat::kPth, path("a.safetensors"));
  export_model(model, ExportFormat::kSafetensors, path("b.pth"));
  export_model(model, ExportFormat::kFlax, path("c"));
  fs::copy_file(path("c") / "ckpt-1.flax", path("d"));
  for (const char* name : {"a.safetensors", "b.pth", "d"})
    testing::expect_same(import_model(path(name)).tensors, model.tensors, name);
}

TEST_F(Import, HalfPrecisionWidens) {
  const LoadedModel model = small_model();
  TensorMap halves;
  for (const auto& [name, tensor] : model.tensors) {  // zeros and ones alone are the same in bf16
    const float value = name.ends_with("norm.weight") ? 1.f : 0.f;
    const std::vector<uint16_t> bits(static_cast<size_t>(tensor.size()), value == 1.f ? 0x3f80 : 0);
    auto owner = std::make_shared<std::vector<uint16_t>>(bits);
    halves.emplace(name,
                   Tensor(DType::kBF16, tensor.shape(), std::as_bytes(std::span(*owner)), owner));
  }
  write_safetensors(path("half.safetensors"), halves, {{kConfigKey, config_text(model)}});
  const LoadedModel back = import_model(path("half.safetensors"));
  EXPECT_EQ(back.tensors.at("norm.weight").as<float>()[5], 1.f);
}

TEST_F(Import, AveragedWeightsWhenAsked) {
  LoadedModel model = small_model();
  save_model(path("run"), model);
  TensorMap averaged = model.tensors;
  averaged["head.bias"] = Tensor::f32({3}, {7, 8, 9});
  write_safetensors(path("run") / "ema.safetensors", averaged);
  EXPECT_EQ(import_model(path("run")).tensors.at("head.bias").as<float>()[0], 0);
  EXPECT_EQ(import_model(path("run"), {.prefer_ema = true, .hints = {}})
                .tensors.at("head.bias")
                .as<float>()[0],
            7);
}

TEST_F(Import, ValuesThatAreNoNumbersAreRefused) {
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    LoadedModel model = small_model();
    std::vector<float> values = model.tensors.at("norm.weight").to_f32();
    values[9] = bad;
    model.tensors["norm.weight"] = Tensor::f32({128}, values);
    save_model(path("bad"), model);
    EXPECT_THAT(refusal(path("bad")), HasSubstr("norm.weight has 1 values"));
  }
}

TEST_F(Import, FilesThatAreNoModel) {
  EXPECT_THAT(refusal(path("absent")), HasSubstr("there is no model"));
  write_file(path("empty"), std::string_view(""));
  EXPECT_THAT(refusal(path("empty")), HasSubstr("no weights"));
  write_file(path("text"), std::string_view("a readme that is longer than a few bytes"));
  EXPECT_THAT(refusal(path("text")), HasSubstr("no weights"));
  save_model(path("good"), small_model());
  EXPECT_THAT(refusal(path("good") / "config.json"), HasSubstr("name its folder"));
  fs::create_directories(path("bare"));
  EXPECT_THAT(refusal(path("bare")), HasSubstr("config.json"));
  fs::remove(path("good") / "model.safetensors");
  EXPECT_THAT(refusal(path("good")), HasSubstr("model.safetensors"));
  write_safetensors(path("other.safetensors"), {{"fc.weight", Tensor::f32({2, 2}, {1, 2, 3, 4})}});
  EXPECT_THAT(refusal(path("other.safetensors")), HasSubstr("fc.weight"));
}

// The description belongs to other weights.
TEST_F(Import, TensorsThatDoNotFitTheDescription) {
  LoadedModel model = small_model();
  save_model(path("a"), model);
  model.tensors.erase("levels.1.pos_embed");
  model.tensors["extra"] = Tensor::f32({1}, {0});
  write_safetensors(path("a") / "model.safetensors", model.tensors);
  const std::string message = refusal(path("a"));
  EXPECT_THAT(message, HasSubstr("levels.1.pos_embed"));
  EXPECT_THAT(message, HasSubstr("extra"));
}

TEST_F(Import, ImageNetClassesGetTheirNames) {
  LoadedModel model = small_model();
  model.config.num_classes = 1000;
  model.labels.clear();
  for (int k = 0; k < 1000; ++k) model.labels.push_back("class " + std::to_string(k));
  model.descriptions.clear();
  model.tensors = initial_tensors(model.config, 1);
  export_model(model, ExportFormat::kFlax, path("official"));
  const LoadedModel back = import_model(path("official"));
  EXPECT_EQ(back.labels[0], "n01440764");
  EXPECT_EQ(back.descriptions.at("n01440764"), "tench");
  EXPECT_EQ(back.labels[999], "n15075141");
  EXPECT_TRUE(std::is_sorted(back.labels.begin(), back.labels.end()));
}

}  // namespace
}  // namespace nestvit

// Import and export: every form out and in again bit for bit, what a form cannot say, and files
// that are none.
#include "weights/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "base/file.h"
#include "model/params.h"
#include "support/temp_dir.h"
#include "weights/config_json.h"
#include "weights/export.h"
#include "weights/safetensors.h"
#include "weights/torch/file.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

LoadedModel small_model(Attention attention = Attention::kMultiHead, Norm norm = Norm::kLayer) {
  LoadedModel model;
  NestConfig& config = model.config;
  config = variant("nest_tiny_s196_224");
  config.image_size = 16;
  config.init_patch_embed_size = 2;
  config.patch_size = 2;
  config.embedding_dim = 32;
  config.num_heads = 2;
  config.num_layers_per_block = {1, 2, 1};
  config.num_classes = 3;
  config.attn_type = attention;
  config.norm_type = norm;
  model.preprocessing = preprocessing_mode("jax", 16);
  model.labels = {"ant", "bee", "cat"};
  model.descriptions = {{"bee", "an insect"}};
  model.tensors = initial_tensors(config, 3);
  return model;
}

void expect_same_tensors(const LoadedModel& a, const LoadedModel& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    const Tensor& other = b.tensors.at(name);
    ASSERT_EQ(tensor.shape(), other.shape()) << name;
    EXPECT_EQ(std::memcmp(tensor.bytes().data(), other.bytes().data(), tensor.bytes().size()), 0)
        << name;
  }
}

template <class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& e) {
    return std::string(e.what()) + " | " + e.hint();
  }
  return "no error";
}

class Import : public ::testing::Test {
 protected:
  fs::path path(const std::string& name) const { return folder_.path() / name; }
  std::string refusal(const fs::path& file) const {
    return message_of([&] { import_model(file); });
  }
  testing::TempDir folder_;
};

TEST_F(Import, EveryFormRoundTripsBitForBit) {
  for (Attention attention : {Attention::kMultiHead, Attention::kMultiQuery})
    for (Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup}) {
      const LoadedModel model = small_model(attention, norm);
      for (const std::string& name : export_format_names()) {
        const ExportFormat format = export_format(name);
        const bool timm_has = attention == Attention::kMultiHead && norm == Norm::kLayer;
        if (format == ExportFormat::kTimm && !timm_has) continue;
        const fs::path out = path(name);
        export_model(model, format, out, true);
        const LoadedModel back = import_model(out);
        expect_same_tensors(model, back);
        if (format == ExportFormat::kFlax) continue;  // has no words for the rest
        EXPECT_EQ(back.config, model.config) << name;
        EXPECT_EQ(back.preprocessing, model.preprocessing) << name;
        EXPECT_EQ(back.labels, model.labels) << name;
        EXPECT_EQ(back.descriptions, model.descriptions) << name;
      }
    }
}

// All official networks and timm's other padding at full size; values that name their position, so
// that any mix-up shows.
TEST_F(Import, FullSizeVariantsRoundTripThroughEveryForm) {
  for (const std::string& name : variant_names()) {
    if (name.ends_with("_jx") || name == "nest_small" || name == "nest_base") continue;  // as these
    LoadedModel model;
    model.config = variant(name);
    model.preprocessing = preprocessing_mode("jax", model.config.image_size);
    for (int k = 0; k < model.config.num_classes; ++k)
      model.labels.push_back("label " + std::to_string(k));
    uint32_t next = 0;
    for (const Param& param : parameter_table(model.config)) {
      std::vector<float> values(static_cast<size_t>(param.size()));
      for (float& value : values) value = std::bit_cast<float>(0x20000000u + next++);
      model.tensors.emplace(param.name, Tensor::f32(param.shape, std::move(values)));
    }
    for (const std::string& form : export_format_names()) {
      const bool multi_query = model.config.attn_type == Attention::kMultiQuery;
      if (form == "timm" && multi_query) continue;
      if (form == "flax" && model.config.pool_padding == PoolPadding::kSymmetric) continue;
      export_model(model, export_format(form), path(form), true);
      expect_same_tensors(model, import_model(path(form)));
      fs::remove_all(path(form));
    }
  }
}

// The form is told by content: any name will do.
TEST_F(Import, ExtensionsSayNothing) {
  const LoadedModel model = small_model();
  export_model(model, ExportFormat::kPth, path("a.safetensors"));
  export_model(model, ExportFormat::kSafetensors, path("b.pth"));
  export_model(model, ExportFormat::kFlax, path("c"));
  fs::copy_file(path("c") / "ckpt-1.flax", path("d"));
  for (const char* name : {"a.safetensors", "b.pth", "d"})
    expect_same_tensors(model, import_model(path(name)));
}

TEST_F(Import, WhatAFormCannotSay) {
  const auto refused = [](const LoadedModel& model, ExportFormat format) {
    return message_of([&] { lost_in(format, model); });
  };
  EXPECT_THAT(refused(small_model(Attention::kMultiQuery), ExportFormat::kTimm),
              HasSubstr("multi-query"));
  EXPECT_THAT(refused(small_model(Attention::kMultiHead, Norm::kBatch), ExportFormat::kTimm),
              HasSubstr("batch norm"));
  LoadedModel symmetric = small_model();
  symmetric.config.pool_padding = PoolPadding::kSymmetric;
  EXPECT_THAT(refused(symmetric, ExportFormat::kFlax), HasSubstr("max-pool"));
  LoadedModel free = small_model();
  free.config.embed_dims = {32, 64, 128};
  EXPECT_THAT(refused(free, ExportFormat::kFlax), HasSubstr("one factor"));
  EXPECT_THAT(lost_in(ExportFormat::kTimm, small_model()), Contains(HasSubstr("erf")));
  EXPECT_TRUE(lost_in(ExportFormat::kNestvit, small_model()).empty());
}

TEST_F(Import, NothingIsReplacedUnasked) {
  const LoadedModel model = small_model();
  for (const std::string& name : export_format_names()) {
    const fs::path out = path(name);
    export_model(model, export_format(name), out);
    EXPECT_THAT(message_of([&] { export_model(model, export_format(name), out); }),
                HasSubstr("--overwrite"));
    export_model(model, export_format(name), out, true);
  }
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

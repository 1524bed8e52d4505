// Weights of every form, told apart by content, and files that hold no weights.
#include "weights/import.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>

#include "base/file.h"
#include "core/weights/small_model.h"
#include "support/errors.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"
#include "weights/adapt.h"
#include "weights/config_json.h"
#include "weights/export.h"
#include "weights/safetensors.h"
#include "weights/torch/reader.h"

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
  void write(const fs::path& file, const TensorMap& tensors) const {
    fs::create_directories(file.parent_path());
    write_safetensors(file, tensors);
  }
  // config.json as transformers or timm writes it, with what they have no word for.
  void describe(const fs::path& folder, const LoadedModel& model) const {
    fs::create_directories(folder);
    write_file(folder / kConfigFile, std::string_view(config_text(model)));
  }
  const testing::TempDir folder_;
};

TensorMap prefixed(const TensorMap& tensors, const std::string& prefix) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors) result.emplace(prefix + name, tensor);
  return result;
}

TensorMap without_head(TensorMap tensors) {
  std::erase_if(tensors, [](const auto& named) { return is_head(named.first); });
  return tensors;
}

const ImportOptions kAnyStart = {.needs_head = false, .hints = {}};

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
  const LoadedModel model = small_model(Attention::kMultiHead, Norm::kBatch);
  for (const auto& [type, one] : {std::pair{DType::kBF16, 0x3f80}, {DType::kF16, 0x3c00}}) {
    TensorMap halves;
    for (const auto& [name, tensor] : model.tensors) {
      const float value = name.ends_with("norm.weight") ? 1.f : 0.f;
      const std::vector<uint16_t> bits(static_cast<size_t>(tensor.size()),
                                       static_cast<uint16_t>(value == 1.f ? one : 0));
      auto owner = std::make_shared<std::vector<uint16_t>>(bits);
      halves.emplace("module." + name,
                     Tensor(type, tensor.shape(), std::as_bytes(std::span(*owner)), owner));
    }
    halves.emplace("module.norm.num_batches_tracked", Tensor::i64({}, {7}));
    write_safetensors(path("half.safetensors"), halves, {{kConfigKey, config_text(model)}});
    const LoadedModel back = import_model(path("half.safetensors"));
    EXPECT_EQ(back.tensors.at("norm.weight").as<float>()[5], 1.f);
    EXPECT_EQ(back.tensors.size(), model.tensors.size());
  }
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

// Whatever wraps a network, in every format.
TEST_F(Import, PrefixesOfProgramsAreTakenOff) {
  const LoadedModel model = small_model();
  describe(path("m"), model);
  for (const std::string prefix :
       {"module.", "_orig_mod.", "model.", "backbone.", "module._orig_mod.", "ema_model.module."}) {
    const TensorMap tensors = prefixed(model.tensors, prefix);
    write(path("m") / "model.safetensors", tensors);
    write_torch(path("m") / "any.pth", tensors);
    for (const fs::path& file : {path("m"), path("m") / "any.pth"}) {
      const LoadedModel back = import_model(file);
      testing::expect_same(back.tensors, model.tensors, prefix + " " + file.string());
      EXPECT_EQ(back.labels, model.labels);
    }
  }
}

// 8-bit weights have scales under names of their own.
TEST_F(Import, PrefixesOfQuantisedWeights) {
  const LoadedModel model = small_model();
  save_model(path("q"), model, NumberType::kInt8);
  const LoadedModel plain = import_model(path("q"));
  write(path("q") / "model.safetensors",
        prefixed(read_safetensors(path("q") / "model.safetensors"), "module."));
  testing::expect_same(import_model(path("q")).tensors, plain.tensors, "8 bits");
}

TEST_F(Import, AveragedTensorsOfTheSameFile) {
  const LoadedModel model = small_model();
  TensorMap averaged = model.tensors;
  averaged["head.bias"] = Tensor::f32({3}, {7, 8, 9});
  TensorMap all = prefixed(model.tensors, "model.");
  all.merge(prefixed(averaged, "ema_model."));
  describe(path("m"), model);
  write(path("m") / "model.safetensors", all);
  const ImportOptions ema = {.prefer_ema = true, .hints = {}};
  testing::expect_same(import_model(path("m")).tensors, model.tensors, "plain");
  testing::expect_same(import_model(path("m"), ema).tensors, averaged, "averaged");
  write(path("m") / "model.safetensors", model.tensors);
  ::testing::internal::CaptureStderr();
  testing::expect_same(import_model(path("m"), ema).tensors, model.tensors, "there is no other");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("no averaged (EMA) weights"));
}

TEST_F(Import, Parts) {
  const LoadedModel model = small_model();
  TensorMap parts[2];
  std::string map;
  for (const auto& [name, tensor] : model.tensors) {
    const int part = name < "levels.1" ? 0 : 1;
    parts[part].emplace("module." + name, tensor);
    map += fmt::format("{}\"module.{}\": \"model-0000{}-of-00002.safetensors\"",
                       map.empty() ? "" : ", ", name, part + 1);
  }
  const std::string index = "{\"metadata\": {}, \"weight_map\": {" + map + "}}";
  describe(path("m"), model);
  write_file(path("m") / "model.safetensors.index.json", std::string_view(index));
  for (int part = 0; part < 2; ++part)
    write(path("m") / fmt::format("model-0000{}-of-00002.safetensors", part + 1), parts[part]);
  for (const fs::path& name : {path("m"), path("m") / "model.safetensors.index.json"})
    testing::expect_same(import_model(name).tensors, model.tensors, name.string());
  EXPECT_THAT(refusal(path("m") / "model-00001-of-00002.safetensors"),
              HasSubstr("one of several parts"));

  // The older form, of files of torch.save.
  fs::remove(path("m") / "model.safetensors.index.json");
  EXPECT_THAT(refusal(path("m")), HasSubstr("in parts"));
  for (int part = 0; part < 2; ++part)
    write_torch(path("m") / fmt::format("model-0000{}-of-00002.safetensors", part + 1),
                parts[part]);
  write_file(path("m") / "pytorch_model.bin.index.json", std::string_view(index));
  testing::expect_same(import_model(path("m")).tensors, model.tensors, "bin");
  // An index of itself.
  write_file(path("m") / "pytorch_model.bin.index.json",
             std::string_view(R"({"weight_map": {"a": "pytorch_model.bin.index.json"}})"));
  EXPECT_THAT(refusal(path("m")), HasSubstr("no part of weights"));
}

// As accelerate saves the state of a run.
TEST_F(Import, AFolderWithoutADescriptionIsIdentified) {
  const LoadedModel model = small_model();
  write(path("state") / "model.safetensors", prefixed(model.tensors, "module."));
  ImportOptions options;
  options.hints.overrides = {{"level_heads", "[2, 4, 8]"}};
  const LoadedModel back = import_model(path("state"), options);
  testing::expect_same(back.tensors, model.tensors, "identified");
  EXPECT_EQ(back.labels.size(), 3u);
}

TEST_F(Import, WeightsWithoutAClassifierAreAStartOnly) {
  const LoadedModel model = small_model();
  const TensorMap tensors = without_head(model.tensors);
  describe(path("m"), model);
  write(path("m") / "model.safetensors", tensors);
  write_torch(path("m") / "any.pth", tensors);
  fs::create_directories(path("alone"));
  write_torch(path("alone") / "any.pth", tensors);
  for (const fs::path& file : {path("m"), path("m") / "any.pth", path("alone") / "any.pth"}) {
    EXPECT_THAT(refusal(file),
                ::testing::AllOf(HasSubstr("no classifier"), HasSubstr("--initial-checkpoint")))
        << file;
    ImportOptions start = kAnyStart;
    start.hints.variant = "nest_tiny_jx";
    start.hints.overrides = {{"level_heads", "[2, 4, 8]"}};
    const LoadedNetwork back = import_network(file, start);
    EXPECT_TRUE(back.headless) << file;
    EXPECT_TRUE(back.labels.empty()) << file;
    testing::expect_same(back.tensors, tensors, file.string());
    // The same number of classes as in the description: a new head all the same.
    EXPECT_TRUE(replaces_head(back.config, model.config, ReinitHead::kAuto));
    TensorMap adapted = adapt_tensors(back, model.config);
    EXPECT_NO_THROW(verify_tensors(adapted, model.config, "adapted"));
    for (const float value : adapted.at("head.weight").to_f32()) EXPECT_EQ(value, 0);
  }
  // Other tensors must be there.
  TensorMap broken = tensors;
  broken.erase("norm.weight");
  write(path("m") / "model.safetensors", broken);
  EXPECT_THAT(testing::error_of([&] { import_network(path("m"), kAnyStart); }),
              HasSubstr("1 missing (norm.weight"));
}

// timm's models of features: num_classes=0.
TEST_F(Import, ZeroClassesAreNoClassifier) {
  const LoadedModel model = small_model();
  fs::create_directories(path("m"));
  write_file(path("m") / "config.json", std::string_view(R"({"architecture": "nest_tiny_jx",
      "num_classes": 0, "global_pool": "", "model_args": {"img_size": 16, "patch_size": 2, "embed_dims": [32, 64, 128],
      "num_heads": [2, 4, 8], "depths": [1, 2, 1]}})"));
  write(path("m") / "model.safetensors", without_head(model.tensors));
  EXPECT_THAT(refusal(path("m")), HasSubstr("no classifier"));
  EXPECT_THAT(testing::error_of([&] { import_network_config(path("m")); }),
              HasSubstr("no classifier"));
  const LoadedNetwork back = import_network(path("m"), kAnyStart);
  EXPECT_TRUE(back.headless);
  NestConfig to = *back.config.nest();
  to.num_classes = 5;
  EXPECT_EQ(adapt_tensors(back, to).at("head.weight").dim(0), 5);
}

// A small network in place of the classifier, as self-supervised training has.
TEST_F(Import, OtherClassifiersAreLeftOut) {
  const LoadedModel model = small_model();
  TensorMap tensors = without_head(model.tensors);
  const TensorMap plain = tensors;
  tensors["head.0.weight"] = Tensor::f32({2, 2}, {1, 2, 3, 4});
  tensors["head.0.bias"] = Tensor::f32({2}, {1, 2});
  describe(path("m"), model);
  write(path("m") / "model.safetensors", tensors);
  ::testing::internal::CaptureStderr();
  testing::expect_same(import_network(path("m"), kAnyStart).tensors, plain, "start");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("2 tensors of another kind"));
  EXPECT_THAT(refusal(path("m")), HasSubstr("no classifier"));
}

TEST_F(Import, TransformersNamesOfClasses) {
  const LoadedModel model = small_model();
  fs::create_directories(path("m"));
  write_file(path("m") / "config.json", std::string_view(R"({"architecture": "nest_tiny_jx",
      "id2label": {"0": "ant", "1": "bee", "2": "cat"}, "model_args": {"img_size": 16,
      "patch_size": 2, "embed_dims": [32, 64, 128], "num_heads": [2, 4, 8], "depths": [1, 2, 1]}})"));
  write(path("m") / "model.safetensors", model.tensors);
  EXPECT_EQ(import_model(path("m")).labels, model.labels);
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

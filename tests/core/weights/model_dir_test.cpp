// Model directories: timm's, ours, round trips of every variant, what timm will read of ours, and
// broken ones.
#include "weights/model_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "model/params.h"
#include "support/errors.h"
#include "support/golden_model.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"
#include "weights/config_json.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using testing::golden_cases;
using testing::golden_json;
using ::testing::HasSubstr;
using testing::TempDir;

LoadedModel small_model(const NestConfig& base = variant("nest_tiny_s196_224")) {
  LoadedModel model;
  model.config = base;
  model.config.image_size = 32;
  model.config.patch_size = 4;
  model.config.num_layers_per_block = {1, 2};
  model.config.embedding_dim = 32;
  model.config.num_heads = 2;
  model.config.num_classes = 3;
  model.preprocessing = preprocessing_mode("jax", 32);
  model.labels = {"cat", "dog", "emu"};
  model.descriptions = {{"cat", "says miaow"}};
  model.tensors = initial_tensors(model.config, 7);
  return model;
}

void expect_same(const LoadedModel& a, const LoadedModel& b) {
  EXPECT_TRUE(a.config == b.config);
  EXPECT_TRUE(a.preprocessing == b.preprocessing);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.descriptions, b.descriptions);
  testing::expect_same(b.tensors, a.tensors, "the model");
}

TEST(ModelDirGolden, TimmFoldersLoad) {
  const auto folders = golden_cases("timm", "config.json");
  for (const auto& folder : folders) {
    const LoadedModel model = load_model(folder);
    const json config = golden_json(folder / "config.json");
    const std::string architecture = config.at("architecture");
    EXPECT_EQ(model.config.variant, architecture);
    EXPECT_EQ(model.config.num_classes, config.at("num_classes").get<int>());
    EXPECT_EQ(model.labels, config.at("label_names").get<std::vector<std::string>>());
    EXPECT_EQ(model.descriptions,
              (config.at("label_descriptions").get<std::map<std::string, std::string>>()));
    EXPECT_EQ(model.config.gelu, Gelu::kErf);
    EXPECT_EQ(model.config.pool_padding == PoolPadding::kSame, architecture.ends_with("_jx"));
    const json& args = config.at("model_args");
    std::vector<int> widths, heads, depths;
    for (const Level& level : geometry(model.config)) {
      widths.push_back(level.width);
      heads.push_back(level.heads);
      depths.push_back(level.depth);
    }
    EXPECT_EQ(widths, args.at("embed_dims").get<std::vector<int>>());
    EXPECT_EQ(heads, args.at("num_heads").get<std::vector<int>>());
    EXPECT_EQ(depths, args.at("depths").get<std::vector<int>>());
    const json& pretrained = config.at("pretrained_cfg");
    EXPECT_EQ(model.config.image_size, pretrained.at("input_size")[1].get<int>());
    EXPECT_EQ(model.preprocessing.image_size, model.config.image_size);
    EXPECT_EQ(model.preprocessing.resampler, Resampler::kPil);
    EXPECT_EQ(model.preprocessing.dct, Dct::kAccurate);
    EXPECT_EQ(model.preprocessing.crop_pct, pretrained.at("crop_pct").get<double>());
    EXPECT_EQ(model.preprocessing.mean, pretrained.at("mean").get<std::vector<double>>());
    EXPECT_EQ(model.preprocessing.std, pretrained.at("std").get<std::vector<double>>());
    testing::expect_same(model.tensors, read_safetensors(folder / "model.safetensors"),
                         folder.string());

    const TempDir copy;
    save_model(copy.path(), model);
    expect_same(load_model(copy.path()), model);
  }
}

TEST(ModelDirGolden, OfficialModelsSurviveSaving) {
  for (const auto& folder : golden_cases("flax", "params.safetensors")) {
    const LoadedModel model = testing::golden_flax_model(folder);
    const TempDir copy;
    save_model(copy.path() / "not" / "there" / "yet", model);
    expect_same(load_model(copy.path() / "not" / "there" / "yet"), model);
  }
}

TEST(ModelDir, EveryVariantsDescriptionComesBack) {
  for (const std::string& name : variant_names())
    for (const char* mode : {"jax", "timm"}) {
      LoadedModel model;
      model.config = variant(name);
      model.preprocessing = preprocessing_mode(mode, model.config.image_size);
      for (int k = 0; k < model.config.num_classes; ++k)
        model.labels.push_back("label " + std::to_string(k));
      expect_same(parse_config(config_text(model), name), model);
    }
}

TEST(ModelDir, EveryFieldComesBack) {
  LoadedModel model = small_model();
  NestConfig& config = model.config;
  config.variant = "my own";
  config.in_channels = 1;
  config.scale_hidden_dims.reset();
  config.embed_dims = {32, 96};
  config.level_heads = {4, 3};
  config.norm_type = Norm::kBatch;
  config.attn_type = Attention::kMultiQuery;
  config.mlp_ratio = 2.7;
  config.qkv_bias = false;
  config.attn_drop = 0.125;
  config.proj_drop = 1.0 / 3;
  config.stochastic_depth_drop = 0.45;
  config.gelu = Gelu::kErf;
  config.pool_padding = PoolPadding::kSymmetric;
  Preprocessing& p = model.preprocessing;
  p.channels = 1;
  p.resampler = Resampler::kPil;
  p.interpolation = Interpolation::kBicubic;
  p.crop_pct = 0.9;
  p.crop_mode = CropMode::kBorder;
  p.mean = {1.0 / 7};
  p.std = {0.3};
  p.dct = Dct::kAccurate;
  p.exif_orientation = true;
  p.background = {17, 34, 51};  // written in digits only, as a number would be
  model.tensors = initial_tensors(config, 1);
  const TempDir folder;
  save_model(folder.path(), model);
  expect_same(load_model(folder.path()), model);
}

TEST(ModelDir, WritesWhatTimmReads) {
  for (const char* name : {"nest_tiny_s196_224", "nest_small_jx", "nest_base"}) {
    LoadedModel model;
    model.config = variant(name);
    model.preprocessing = preprocessing_mode("timm", 224);
    json root = json::parse(config_text(model));
    const bool same = model.config.pool_padding == PoolPadding::kSame;
    const std::string size = std::string(name).substr(0, std::string(name).find('_', 5));
    EXPECT_EQ(root["architecture"], size + (same ? "_jx" : ""));
    EXPECT_EQ(root["num_classes"], root["pretrained_cfg"]["num_classes"]);
    EXPECT_EQ(root["pretrained_cfg"]["input_size"], (std::vector<int>{3, 224, 224}));
    EXPECT_EQ(root["pretrained_cfg"]["pool_size"], (std::vector<int>{14, 14}));
    EXPECT_EQ(root["pretrained_cfg"]["fixed_input_size"], true);
    // timm's nest_tiny(**kwargs) fails when it is given the dimensions that it passes itself.
    for (const char* key : {"embed_dims", "num_heads", "depths"})
      EXPECT_FALSE(root["model_args"].contains(key)) << key;
    // From its part alone timm builds the same model, except for the form of GELU.
    root.erase("nestvit");
    NestConfig seen = parse_config(root.dump(), name).config;
    seen.gelu = model.config.gelu;
    seen.variant = model.config.variant;
    EXPECT_TRUE(seen == model.config) << name;
  }
}

TEST(ModelDir, TimmsPartDescribesOtherDimensionsToo) {
  const LoadedModel model = small_model();
  json root = json::parse(config_text(model));
  EXPECT_EQ(root["architecture"], "nest_tiny_jx");
  root.erase("nestvit");
  const NestConfig seen = parse_config(root.dump(), "x").config;
  const auto shapes = [](const NestConfig& config) {
    std::map<std::string, std::vector<int64_t>> map;
    for (const Param& param : parameter_table(config)) map[param.name] = param.shape;
    return map;
  };
  EXPECT_EQ(shapes(seen), shapes(model.config));
}

TEST(ModelDir, ModelsThatTimmHasNotKeepTheirOwnName) {
  for (const auto& [key, value] :
       {std::pair{"attn_type", "local_multi_query"}, {"norm_type", "GN"}}) {
    LoadedModel model = small_model();
    fields(model.config).set(key, value);
    const json root = json::parse(config_text(model));
    EXPECT_EQ(root["architecture"], model.config.variant);
    EXPECT_FALSE(root.contains("model_args"));
  }
}

TEST(ModelDir, LabelsThatAreNoUtf8AreSavedReadably) {
  LoadedModel model = small_model();
  model.labels[1] = "caf\xe9";
  const TempDir folder;
  save_model(folder.path(), model);
  EXPECT_EQ(load_model(folder.path()).labels[1], "caf\xef\xbf\xbd");
}

TEST(ModelDir, WidensOtherFloatsAndIgnoresBatchCounters) {
  const LoadedModel model = small_model();
  const TempDir folder;
  save_model(folder.path(), model);
  TensorMap stored = model.tensors;
  const std::vector<uint16_t> halves(3, 0x3c00);  // 1.0
  auto owner = std::make_shared<const std::vector<uint16_t>>(halves);
  stored.at("head.bias") =
      Tensor(DType::kF16, {3}, std::as_bytes(std::span<const uint16_t>(*owner)), owner);
  stored["norm.num_batches_tracked"] = Tensor::i64({}, {12});
  write_safetensors(folder / "model.safetensors", stored);
  const LoadedModel read = load_model(folder.path());
  EXPECT_THAT(read.tensors.at("head.bias").as<float>(), ElementsAre(1, 1, 1));
  EXPECT_FALSE(read.tensors.contains("norm.num_batches_tracked"));
}

TEST(ModelDir, NamesTensorsThatDoNotFit) {
  const LoadedModel model = small_model();
  const auto message = [&](const TensorMap& tensors) {
    return testing::error_of([&] { verify_tensors(tensors, model.config, "a/model.safetensors"); });
  };
  EXPECT_NO_THROW(verify_tensors(model.tensors, model.config, "a/model.safetensors"));
  TensorMap tensors = model.tensors;
  tensors.erase("head.bias");
  tensors["head.gain"] = Tensor::f32({1}, {0});
  tensors.at("head.weight") = Tensor::f32({1}, {0});
  const std::string text = message(tensors);
  EXPECT_THAT(text, HasSubstr("a/model.safetensors"));
  EXPECT_THAT(text, HasSubstr("1 missing (head.bias [3])"));
  EXPECT_THAT(text, HasSubstr("1 unknown (head.gain [1])"));
  EXPECT_THAT(text, HasSubstr("head.weight is F32 [1], expected F32 [3, 64]"));
  tensors = model.tensors;
  tensors.at("head.bias") = Tensor::i64({3}, {0, 0, 0});
  EXPECT_THAT(message(tensors), HasSubstr("head.bias is I64 [3]"));
  EXPECT_THAT(message({}), HasSubstr("..."));
}

TEST(ModelDir, TheHintAboutTensorsSpeaksOfWhatDescribesThem) {
  const TempDir folder;
  const auto message = [&] {
    return testing::error_of(
        [&] { verify_tensors({}, small_model().config, folder / "weights.pth"); });
  };
  EXPECT_THAT(message(), HasSubstr("--variant"));
  EXPECT_THAT(message(), HasSubstr("--config.nest.KEY"));
  save_model(folder.path(), small_model());
  EXPECT_THAT(message(), HasSubstr("| config.json must describe"));
}

TEST(ModelDir, FailuresNameThePathAndWhatToDo) {
  const TempDir folder;
  const auto hint_of = [&](const std::filesystem::path& path) {
    try {
      load_model(path);
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr(path.string()));
      return e.hint();
    }
    return std::string("no Error");
  };
  EXPECT_THAT(hint_of(folder / "nothing"), HasSubstr("path"));
  EXPECT_THAT(hint_of(folder.path()), HasSubstr("config.json"));
  save_model(folder / "best", small_model());
  EXPECT_THAT(hint_of(folder.path()), HasSubstr((folder / "best").string()));
  std::filesystem::remove(folder / "best" / "model.safetensors");
  EXPECT_THAT(hint_of(folder / "best"), HasSubstr("model.safetensors"));
  EXPECT_NO_THROW(load_network_config(folder / "best"));
}

TEST(ModelDir, RefusesToSaveAModelThatCouldNotBeLoaded) {
  const TempDir folder;
  LoadedModel model = small_model();
  model.labels.pop_back();
  EXPECT_THROW(save_model(folder.path(), model), Error);
  model = small_model();
  model.tensors.erase("head.bias");
  EXPECT_THROW(save_model(folder.path(), model), Error);
  model = small_model();
  model.preprocessing.image_size = 64;
  EXPECT_THROW(save_model(folder.path(), model), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// reference.md A.5: normals cut at two deviations, times 0.02; their deviation is then 0.02 *
// 0.87963.
TEST(InitialTensors, FollowTheReferenceInitialisers) {
  NestConfig config = small_model().config;
  config.norm_type = Norm::kBatch;
  const TensorMap tensors = initial_tensors(config, 3);
  EXPECT_NO_THROW(verify_tensors(tensors, config, "fresh"));
  double sum = 0, squares = 0, count = 0;
  for (const Param& param : parameter_table(config)) {
    const auto values = tensors.at(param.name).as<float>();
    for (float value : values) {
      if (param.init != Init::kTruncatedNormal) {
        ASSERT_EQ(value, param.init == Init::kOnes ? 1.f : 0.f) << param.name;
        continue;
      }
      ASSERT_LT(std::abs(value), 0.04f) << param.name;
      sum += value;
      squares += static_cast<double>(value) * value;
      ++count;
    }
  }
  // Five standard errors of a mean and of a deviation over `count` draws.
  const double deviation = 0.02 * 0.87963;
  EXPECT_NEAR(sum / count, 0, 5 * deviation / std::sqrt(count));
  EXPECT_NEAR(std::sqrt(squares / count), deviation, 5 * deviation / std::sqrt(2 * count));
}

TEST(InitialTensors, DependOnSeedAndNameOnly) {
  const NestConfig config = small_model().config;
  testing::expect_same(initial_tensors(config, 3), initial_tensors(config, 3), "the same seed");
  NestConfig deeper = config;
  deeper.num_layers_per_block = {1, 3};
  const std::string name = "levels.1.transformer_encoder.1.mlp.fc1.weight";
  const auto bytes = [&](const NestConfig& c, uint64_t seed, const std::string& tensor) {
    const auto span = initial_tensors(c, seed).at(tensor).to_f32();
    return span;
  };
  EXPECT_EQ(bytes(config, 3, name), bytes(deeper, 3, name));
  EXPECT_NE(bytes(config, 3, name), bytes(config, 4, name));
  EXPECT_NE(bytes(config, 3, name),
            bytes(config, 3, "levels.1.transformer_encoder.0.mlp.fc1.weight"));
}

}  // namespace
}  // namespace nestvit

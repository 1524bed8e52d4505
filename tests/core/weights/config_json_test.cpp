// config.json: timm's forms, the messages for what is wrong, and files that lie.
#include "weights/config_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <nlohmann/json.hpp>

#include "support/errors.h"

namespace nestvit {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

LoadedModel described() {
  LoadedModel model;
  model.config = variant("nest_tiny_s196_224");
  model.config.image_size = 32;
  model.config.patch_size = 4;
  model.config.num_layers_per_block = {1, 2};
  model.config.num_classes = 3;
  model.preprocessing = preprocessing_mode("jax", 32);
  model.labels = {"cat", "dog", "emu"};
  model.descriptions = {{"cat", "says miaow"}};
  return model;
}

std::string message_of(const char* text) {
  return testing::error_of([&] { parse_config(text, "dir/config.json"); });
}

const char* const kMinimal = R"({"architecture": "nest_tiny_jx", "num_classes": 5,
  "pretrained_cfg": {"input_size": [3, 224, 224], "num_classes": 1000}})";

TEST(ConfigJson, TheRecordOfTheTrainingComesBack) {
  LoadedModel model = described();
  EXPECT_FALSE(json::parse(config_text(model))["nestvit"].contains("trained_on"));
  TrainingRecord record;
  record.train_images = 72;
  record.held_out_images = 18;
  record.train_digest = "murmur3-0123456789012345";
  record.val_share = 0.2;
  record.seed = 7;
  record.examples = "01234567-89012345 12345678-90123456";
  for (const NumberType storage : {NumberType::kF32, NumberType::kInt8}) {
    model.trained_on = record;
    EXPECT_EQ(parse_config(config_text(model, storage), "x").trained_on, record);
    model.trained_on->val_share.reset();
    EXPECT_EQ(parse_config(config_text(model, storage), "x").trained_on, model.trained_on);
  }
  json wrong = json::parse(config_text(model));
  wrong["nestvit"]["trained_on"]["seed"] = "seven";
  EXPECT_THAT(message_of(wrong.dump().c_str()), HasSubstr("seed"));
  wrong["nestvit"]["trained_on"] = 7;
  EXPECT_THAT(message_of(wrong.dump().c_str()), HasSubstr("nestvit.trained_on"));
}

TEST(ConfigJson, ReadsTheLegacyFlatForm) {
  const LoadedModel model = parse_config(R"({"architecture": "jx_nest_tiny", "num_classes": 2,
      "input_size": [3, 112, 112], "interpolation": "bilinear", "crop_pct": 0.9,
      "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "labels": ["a", "b"]})",
                                         "x");
  EXPECT_EQ(model.config.variant, "nest_tiny_jx");
  EXPECT_EQ(model.config.image_size, 112);
  EXPECT_EQ(model.config.patch_size, 7);
  EXPECT_EQ(model.preprocessing.interpolation, Interpolation::kBilinear);
  EXPECT_EQ(model.preprocessing.crop_pct, 0.9);
  EXPECT_THAT(model.preprocessing.std, ElementsAre(0.25, 0.25, 0.25));
  EXPECT_THAT(model.labels, ElementsAre("a", "b"));
}

TEST(ConfigJson, RootClassesWinAndClassesWithoutNamesAreNumbered) {
  const LoadedModel model = parse_config(kMinimal, "x");
  EXPECT_EQ(model.config.num_classes, 5);
  EXPECT_THAT(model.labels, ElementsAre("class 0", "class 1", "class 2", "class 3", "class 4"));
  json gaps = json::parse(kMinimal);
  gaps["label_names"]["3"] = "emu";
  EXPECT_THAT(parse_config(gaps.dump(), "x").labels,
              ElementsAre("class 0", "class 1", "class 2", "emu", "class 4"));
}

TEST(ConfigJson, UnderstandsTimmsArguments) {
  json root = json::parse(kMinimal);
  root["model_args"] = json::parse(R"({"img_size": [96, 96], "patch_size": 2, "num_levels": 2,
      "embed_dims": 24, "num_heads": 3, "depths": [1, 4], "mlp_ratio": 3, "qkv_bias": false,
      "in_chans": 1, "drop_path_rate": 0.25, "pad_type": "", "act_layer": "gelu_tanh"})");
  root["pretrained_cfg"].update(json::parse(R"({"mean": [0.5], "std": [0.5]})"));
  const NestConfig config = parse_config(root.dump(), "x").config;
  EXPECT_EQ(config.image_size, 96);
  EXPECT_EQ(config.patch_size, 24);  // 96 / (2 * 2)
  EXPECT_EQ(config.init_patch_embed_size, 2);
  EXPECT_THAT(config.num_layers_per_block, ElementsAre(1, 4));
  EXPECT_EQ(geometry(config)[1].width, 24);
  EXPECT_EQ(geometry(config)[1].heads, 3);
  EXPECT_EQ(config.mlp_ratio, 3);
  EXPECT_FALSE(config.qkv_bias);
  EXPECT_EQ(config.in_channels, 1);
  EXPECT_EQ(config.stochastic_depth_drop, 0.25);
  EXPECT_EQ(config.pool_padding, PoolPadding::kSymmetric);
  EXPECT_EQ(config.gelu, Gelu::kTanh);
}

// Every value of a good file replaced by every kind of wrong one: an Error or a model, never
// anything else.
void spoil(json& root, json& at, int& refused) {
  json wrong = json::parse(R"([null, true, -1, 0, 1.5, 1e308, 1048576, 9223372036854775807,
      18446744073709551615, "", "é", "&a [*a, *a]", [], {}, [1e9, 2], [{"a": 1}]])");
  wrong.push_back(std::string(5000, '['));
  const json original = at;
  for (const json& value : wrong) {
    at = value;
    try {
      parse_config(root.dump(), "spoilt");
    } catch (const Error& e) {
      ++refused;
      EXPECT_THAT(e.what(), HasSubstr("spoilt"));
    }
  }
  at = original;
  if (at.is_structured())
    for (json& inner : at) spoil(root, inner, refused);
}

TEST(ConfigJson, SurvivesAnyWrongValue) {
  LoadedModel model = described();
  json ours = json::parse(config_text(model));
  json timms = ours;
  timms.erase("nestvit");
  int refused = 0;
  spoil(ours, ours, refused);
  spoil(timms, timms, refused);
  EXPECT_GT(refused, 500);
}

TEST(ConfigJson, RefusesTextThatIsCutAnywhere) {
  const std::string text = config_text(described());
  const size_t whole = text.find_last_of('}');
  for (size_t length = 0; length <= whole; ++length)
    EXPECT_THROW(parse_config(text.substr(0, length), "x"), Error) << length;
}

TEST(ConfigJson, RefusesANumberThatNoDoubleHolds) {
  EXPECT_THAT(message_of(R"({"num_classes": 6e333})"), HasSubstr("number"));
}

TEST(ConfigJson, SurvivesDeepNesting) {
  for (const char* open : {"[", "{\"a\":"}) {
    std::string text = "{\"nestvit\":";
    for (int i = 0; i < 1'000'000; ++i) text += open;
    EXPECT_THROW(parse_config(text, "x"), Error);
  }
}

TEST(ConfigJson, SaysWhatIsWrong) {
  EXPECT_THAT(message_of(R"({"architecture": "resnet50"})"), HasSubstr("resnet50"));
  EXPECT_THAT(message_of(R"({"num_classes": 5})"), HasSubstr("architecture"));
  EXPECT_THAT(message_of(R"({"architecture": "nest_tiny", "num_classes": 0})"),
              HasSubstr("classifier"));
  EXPECT_THAT(
      message_of(R"({"architecture": "nest_tiny", "num_classes": 2, "label_names": ["a"]})"),
      HasSubstr("1 entries for 2 classes"));
  EXPECT_THAT(message_of(R"({"architecture": "nest_tiny", "model_args": {"img_size": 225}})"),
              HasSubstr("225"));
  EXPECT_THAT(message_of(R"({"architecture": "nest_tiny", "model_args": {"img_sise": 224}})"),
              HasSubstr("img_sise"));
  EXPECT_THAT(
      message_of(R"({"architecture": "nest_tiny", "model_args": {"norm_layer": "rmsnorm"}})"),
      HasSubstr("norm_layer"));
  EXPECT_THAT(message_of(R"({"architecture": "nest_tiny", "interpolation": "lanczos"})"),
              HasSubstr("lanczos"));
  EXPECT_THAT(message_of(R"({"nestvit": {"nest": {"patch_sise": 4}}})"), HasSubstr("patch_sise"));
  EXPECT_THAT(message_of("{"), HasSubstr("dir/config.json"));
  EXPECT_THROW(parse_config(R"({"architecture": "resnet50"})", "x"), Error);
  try {
    parse_config(R"({"nestvit": {"nest": {"patch_size": 5}}})", "x");
    FAIL();
  } catch (const UsageError&) {
    FAIL() << "a broken file is no usage error";
  } catch (const Error&) {
  }
}

}  // namespace
}  // namespace nestvit

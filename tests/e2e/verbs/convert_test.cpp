// nestvit convert, and every verb on weights of every form.
#include "support/cli_test.h"
#include "weights/export.h"
#include "weights/import.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;

class ConvertCli : public CliTest {
 protected:
  void SetUp() override {
    model_ = tiny_model();
    save("model", model_);
    write_image("photo.png", {90, 40, 200});
  }
  Outcome convert(const std::string& arguments) const { return nestvit("convert " + arguments); }
  LoadedModel model_;
};

TEST_F(ConvertCli, ThereAndBackBitForBit) {
  std::string from = "model";
  for (const std::string name : {"flax", "pth", "safetensors", "nestvit"}) {
    const Outcome outcome = convert(fmt::format("{} as-{} --to {}", from, name, name));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("written as " + name));
    from = "as-" + name;
    const LoadedModel back = import_model(path(from));
    for (const auto& [key, tensor] : model_.tensors)
      EXPECT_EQ(back.tensors.at(key).to_f32(), tensor.to_f32()) << name << " " << key;
  }
}

TEST_F(ConvertCli, VerbsTakeEveryForm) {
  const Outcome expected = nestvit("predict --model model photo.png --format csv");
  ASSERT_EQ(expected.code, 0) << expected.err;
  for (const std::string name : {"nestvit", "pth", "safetensors"}) {
    ASSERT_EQ(convert(fmt::format("model as-{} --to {}", name, name)).code, 0);
    const Outcome got = nestvit(fmt::format("predict --model as-{} photo.png --format csv", name));
    EXPECT_EQ(got.out, expected.out) << got.err;
  }
  ASSERT_EQ(convert("model official --to flax").code, 0);
  const Outcome inspect = nestvit("inspect official/ckpt.39");
  EXPECT_THAT(inspect.out, HasSubstr("local_multi_query")) << inspect.err;
}

TEST_F(ConvertCli, SaysWhatAFormCannot) {
  expect_failure(convert("model out --to timm"), 1, {"multi-query", "--to nestvit"});
  EXPECT_FALSE(fs::exists(path("out")));
  const Outcome flax = convert("model out --to flax");
  EXPECT_THAT(flax.err, HasSubstr("warning: a checkpoint holds no labels"));
}

TEST_F(ConvertCli, Mistakes) {
  expect_failure(convert("model"), 2, {"OUT"});
  expect_failure(convert("model out --to onnx"), 2, {"onnx"});
  expect_failure(convert("absent out"), 1, {"there is no model absent"});
  expect_failure(convert("model model"), 1, {"is there already", "--overwrite"});
  expect_failure(convert("model out --config.learning_rate=1"), 2, {"--config.nest.KEY"});
  expect_failure(convert("model out --config.nest.patch_sise=1"), 2, {"patch_size"});
  write_file(path("broken.pth"), std::string_view("PK\3\4 and nothing more of a zip file"));
  expect_failure(convert("broken.pth out"), 1, {"broken.pth"});
  EXPECT_FALSE(fs::exists(path("out")));
}

class DoctorCli : public ConvertCli {
 protected:
  Outcome doctor(const std::string& arguments) const {
    return nestvit("doctor --compare " + arguments);
  }
};

TEST_F(DoctorCli, NothingToFind) {
  const Outcome outcome = doctor("model model photo.png");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("equal, bit for bit"));
  EXPECT_THAT(outcome.out, HasSubstr("They answer alike"));
}

// Each setting alone is found, and nothing else is blamed.
TEST_F(DoctorCli, FindsTheSettingThatDiffers) {
  struct Case {
    std::function<void(LoadedModel&)> change;
    std::string setting, stage;
  };
  const std::vector<Case> cases = {
      {[](LoadedModel& m) { m.config.gelu = Gelu::kErf; }, "gelu", "level 0"},
      {[](LoadedModel& m) { m.config.pool_padding = PoolPadding::kSymmetric; }, "pool_padding",
       "level 1"},
      {[](LoadedModel& m) {
         m.preprocessing.mean = {0.1, 0.2, 0.3};
       },
       "mean", "input"},
      {[](LoadedModel& m) { m.preprocessing.crop_pct = 0.5; }, "crop_pct", "pixels"},
      {[](LoadedModel& m) { m.preprocessing.resampler = Resampler::kPil; }, "resampler", "pixels"}};
  // weights large enough for every setting to show
  for (auto& [name, tensor] : model_.tensors) {
    std::vector<float> values = tensor.to_f32();
    for (size_t i = 0; i < values.size(); ++i) values[i] += 0.3f * static_cast<float>(i % 7) - 0.9f;
    tensor = Tensor::f32(tensor.shape(), values);
  }
  save("model", model_);
  for (const Case& c : cases) {
    LoadedModel other = model_;
    c.change(other);
    save("other", other);
    const Outcome outcome = doctor("model other photo.png");
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("They part at " + c.stage)) << c.setting << outcome.out;
    EXPECT_THAT(outcome.out, HasSubstr("explain all of it; most of all " + c.setting))
        << outcome.out;
  }
}

TEST_F(DoctorCli, FindsOtherWeights) {
  LoadedModel other = model_;
  std::vector<float> values = other.tensors.at("norm.weight").to_f32();
  values[0] += 1;
  other.tensors["norm.weight"] = Tensor::f32({8}, values);
  save("other", other);
  const Outcome outcome = doctor("model other photo.png");
  EXPECT_THAT(outcome.out, HasSubstr("1 of "));
  EXPECT_THAT(outcome.out, HasSubstr("norm.weight"));
  EXPECT_THAT(outcome.out, HasSubstr("the weights differ"));
}

TEST_F(DoctorCli, PreprocessingsAlone) {
  const Outcome outcome = doctor("jax timm photo.png --size 8");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("most of all resampler, interpolation"));
  EXPECT_EQ(doctor("model timm photo.png").code, 0);
}

TEST_F(DoctorCli, Mistakes) {
  expect_failure(doctor("model model"), 2, {"no image"});
  expect_failure(doctor("jax timm photo.png"), 2, {"--size"});
  expect_failure(nestvit("doctor model model photo.png"), 2, {"--compare"});
  LoadedModel other = tiny_model();
  other.config.image_size = other.preprocessing.image_size = 16;
  other.config.init_patch_embed_size = 2;
  other.tensors = initial_tensors(other.config, 1);
  save("other", other);
  expect_failure(doctor("model other photo.png"), 1, {"8 pixels", "16"});
}

}  // namespace
}  // namespace nestvit::testing

// nestvit doctor: what makes two models answer differently.
#include <functional>

#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;

class DoctorCli : public CliTest {
 protected:
  void SetUp() override {
    model_ = tiny_model();
    save("model", model_);
    write_image("photo.png", {90, 40, 200});
  }
  Outcome doctor(const std::string& arguments) const {
    return nestvit("doctor --compare " + arguments);
  }
  LoadedModel model_;
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

// nestvit preprocess: images in, tensors out.
#include "image/transform.h"
#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;

class PreprocessCli : public CliTest {
 protected:
  void SetUp() override { save("model", tiny_model()); }

  std::vector<float> values(const std::string& file, const std::string& tensor) const {
    return read_safetensors(path(file)).at(tensor).to_f32();
  }
};

TEST_F(PreprocessCli, WritesBothStages) {
  write_image("a.png", {10, 100, 200}, 20);
  write_image("b.png", {200, 10, 100}, 9);
  const Outcome outcome = nestvit(
      "preprocess --mode timm --size 8 a.png b.png --output x.safetensors --mean 0.5,0.25,0 --std "
      "0.5,1,2 --crop-pct 0.9 --interpolation bilinear");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const TensorMap tensors = read_safetensors(path("x.safetensors"));
  EXPECT_THAT(tensors.at("pixels").shape(), ElementsAre(2, 3, 8, 8));
  EXPECT_THAT(tensors.at("input").shape(), ElementsAre(2, 3, 8, 8));

  Preprocessing expected = preprocessing_mode("timm", 8);
  expected.crop_pct = 0.9;
  expected.interpolation = Interpolation::kBilinear;
  const std::vector<float> pixels = values("x.safetensors", "pixels");
  const std::vector<float> input = values("x.safetensors", "input");
  const double mean[] = {0.5, 0.25, 0}, std[] = {0.5, 1, 2};
  size_t at = 0;
  for (const char* name : {"a.png", "b.png"}) {
    Sample sample;
    sample.encoded = read_file(path(name));
    sample.name = name;
    const Pixels image = evaluation_pixels(sample, expected);
    for (int c = 0; c < 3; ++c)
      for (int i = 0; i < 64; ++i, ++at) {
        ASSERT_EQ(pixels[at], image.values[i * 3 + c]);
        ASSERT_NEAR(input[at], (pixels[at] / 255 - mean[c]) / std[c], 1e-5);
      }
  }
}

TEST_F(PreprocessCli, AsTheModelWants) {
  write_image("a.png", {10, 100, 200}, 20);
  EXPECT_EQ(nestvit("preprocess --model model a.png --output m.safetensors").code, 0);
  EXPECT_EQ(nestvit("preprocess --mode jax --size 8 a.png --output j.safetensors").code, 0);
  EXPECT_EQ(values("m.safetensors", "input"), values("j.safetensors", "input"));
}

TEST_F(PreprocessCli, ExplainsMistakes) {
  write_image("a.png", {1, 2, 3});
  const std::string out = " --output x.safetensors";
  const std::string jax = "preprocess --mode jax --size 8 ";
  expect_failure(nestvit("preprocess a.png" + out), 2, {"--mode", "--model"});
  expect_failure(nestvit("preprocess --mode jax a.png" + out), 2, {"--size"});
  expect_failure(nestvit(jax + "--model model a.png" + out), 2, {"--mode", "--model"});
  expect_failure(nestvit(jax + out), 2, {"IMAGE"});
  expect_failure(nestvit(jax + "--interpolation bicubic a.png" + out), 2, {"--mode timm"});
  expect_failure(nestvit(jax + "--crop-pct 1.5 a.png" + out), 2, {"1.5"});
  expect_failure(nestvit(jax + "--crop-pct nan a.png" + out), 2, {"nan"});
  expect_failure(nestvit(jax + "--mean 0.5 a.png" + out), 2, {"expected 3"});
  expect_failure(nestvit(jax + "--std 1,0,1 a.png" + out), 2, {"--std"});
  expect_failure(nestvit(jax + "nowhere.png" + out), 1, {"nowhere.png"});
  truncate("a.png");
  expect_failure(nestvit(jax + "a.png" + out), 1, {"a.png"});
  EXPECT_FALSE(fs::exists(path("x.safetensors")));
}

}  // namespace
}  // namespace nestvit::testing

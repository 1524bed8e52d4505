// nestvit run and preprocess: tensors in and out.
#include <cmath>

#include "image/transform.h"
#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Shape = std::vector<int64_t>;

class TensorsCli : public CliTest {
 protected:
  void SetUp() override { save("model", tiny_model()); }

  void write_input(const std::string& name, const Shape& shape,
                   const std::string& tensor = "input") {
    int64_t size = 1;
    for (int64_t extent : shape) size *= extent;
    std::vector<float> values(size);
    for (int64_t i = 0; i < size; ++i) values[i] = std::sin(static_cast<float>(i));
    write_safetensors(path(name), {{tensor, Tensor::f32(shape, values)}});
  }

  std::vector<float> values(const std::string& file, const std::string& tensor) const {
    return read_safetensors(path(file)).at(tensor).to_f32();
  }
};

TEST_F(TensorsCli, RunWritesLogitsAndLevels) {
  write_input("x.safetensors", {5, 3, 8, 8});
  const Outcome outcome =
      nestvit("run --model model --input x.safetensors --output y.safetensors --features");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const TensorMap result = read_safetensors(path("y.safetensors"));
  ASSERT_EQ(result.size(), 3);
  EXPECT_THAT(result.at("logits").shape(), ElementsAre(5, 3));
  EXPECT_THAT(result.at("level_0").shape(), ElementsAre(5, 4, 16, 8));
  EXPECT_THAT(result.at("level_1").shape(), ElementsAre(5, 1, 16, 8));
  EXPECT_THAT(outcome.out, HasSubstr("logits F32 [5, 3]"));

  // Batches are put together again, and without --features the logits stand alone.
  EXPECT_EQ(nestvit("run --model model --input x.safetensors --output z.safetensors -b 2").code, 0);
  const TensorMap parts = read_safetensors(path("z.safetensors"));
  ASSERT_EQ(parts.size(), 1);
  const std::vector<float> whole = values("y.safetensors", "logits");
  const std::vector<float> pieces = values("z.safetensors", "logits");
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(whole[i], pieces[i], 1e-6);
}

TEST_F(TensorsCli, RunExplainsABadInput) {
  const std::string end = " --output y.safetensors";
  const std::string run = "run --model model --input ";
  write_input("size.safetensors", {1, 3, 9, 8});
  expect_failure(nestvit(run + "size.safetensors" + end), 1, {"[1, 3, 9, 8]", "[B, 3, 8, 8]"});
  write_input("rank.safetensors", {3, 8, 8});
  expect_failure(nestvit(run + "rank.safetensors" + end), 1, {"[3, 8, 8]", "[B, 3, 8, 8]"});
  write_input("empty.safetensors", {0, 3, 8, 8});
  expect_failure(nestvit(run + "empty.safetensors" + end), 1, {"[0, 3, 8, 8]"});
  write_input("name.safetensors", {1, 3, 8, 8}, "inputs");
  expect_failure(nestvit(run + "name.safetensors" + end), 1, {"name.safetensors", "input"});
  write_safetensors(path("type.safetensors"),
                    {{"input", Tensor::u8({1, 3, 8, 8}, std::vector<uint8_t>(192))}});
  expect_failure(nestvit(run + "type.safetensors" + end), 1, {"U8", "F32"});
  write_input("cut.safetensors", {1, 3, 8, 8});
  truncate("cut.safetensors");
  expect_failure(nestvit(run + "cut.safetensors" + end), 1, {"cut.safetensors"});
  expect_failure(nestvit(run + "nowhere.safetensors" + end), 1, {"nowhere.safetensors"});
  EXPECT_FALSE(fs::exists(path("y.safetensors")));
}

TEST_F(TensorsCli, RunExplainsABadModel) {
  write_input("x.safetensors", {1, 3, 8, 8});
  const std::string end = " --input x.safetensors --output y.safetensors";
  expect_failure(nestvit("run --model nowhere" + end), 1, {"nowhere"});
  truncate("model/model.safetensors");
  expect_failure(nestvit("run --model model" + end), 1, {"model.safetensors"});
  fs::remove(path("model/model.safetensors"));
  expect_failure(nestvit("run --model model" + end), 1, {"model.safetensors"});
  write_file(path("model/config.json"), "{\"architecture\": ");
  expect_failure(nestvit("run --model model" + end), 1, {"config.json"});
}

TEST_F(TensorsCli, RunDoesNotWriteWhereItCannot) {
  write_input("x.safetensors", {1, 3, 8, 8});
  expect_failure(nestvit("run --model model --input x.safetensors --output nowhere/y.safetensors"),
                 1, {"nowhere"});
}

TEST_F(TensorsCli, PreprocessWritesBothStages) {
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

TEST_F(TensorsCli, PreprocessAsTheModelWants) {
  write_image("a.png", {10, 100, 200}, 20);
  EXPECT_EQ(nestvit("preprocess --model model a.png --output m.safetensors").code, 0);
  EXPECT_EQ(nestvit("preprocess --mode jax --size 8 a.png --output j.safetensors").code, 0);
  EXPECT_EQ(values("m.safetensors", "input"), values("j.safetensors", "input"));
}

TEST_F(TensorsCli, PreprocessExplainsMistakes) {
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

#ifdef NESTVIT_HAS_TRAIN
TEST_F(TensorsCli, EnginesAgree) {
  write_input("x.safetensors", {3, 3, 8, 8});
  const std::string run = "run --model model --input x.safetensors --features --output ";
  EXPECT_EQ(nestvit(run + "core.safetensors").code, 0);
  const Outcome torch = nestvit(run + "torch.safetensors --engine torch");
  EXPECT_EQ(torch.code, 0) << torch.err;
  for (const char* tensor : {"logits", "level_0", "level_1"}) {
    const std::vector<float> a = values("core.safetensors", tensor);
    const std::vector<float> b = values("torch.safetensors", tensor);
    ASSERT_EQ(a.size(), b.size());
    float largest = 0;
    for (float v : a) largest = std::max(largest, std::abs(v));
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 2e-5 * largest) << tensor;
  }
}
#endif

}  // namespace
}  // namespace nestvit::testing

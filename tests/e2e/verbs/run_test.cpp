// nestvit run: tensors in and out.
#include <cmath>

#include "support/cli_test.h"
#include "support/near.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Shape = std::vector<int64_t>;

class RunCli : public CliTest {
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

TEST_F(RunCli, WritesLogitsAndLevels) {
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
  EXPECT_LE(largest_difference(whole, pieces), 1e-6);
}

// The gradient at the pixels is how the logit moves with them: the program against itself.
TEST_F(RunCli, GradientsAreSlopesOfTheLogit) {
  write_input("x.safetensors", {2, 3, 8, 8});
  const Outcome outcome =
      nestvit("run --model model --input x.safetensors --gradients 1 --output g.safetensors -b 1");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const TensorMap result = read_safetensors(path("g.safetensors"));
  EXPECT_THAT(result.at("input_grad").shape(), ElementsAre(2, 3, 8, 8));
  EXPECT_THAT(result.at("level_1_input_grad").shape(), ElementsAre(2, 1, 16, 8));
  EXPECT_THAT(result.at("logits").shape(), ElementsAre(2, 3));
  const std::vector<float> gradient = result.at("input_grad").to_f32();
  const std::vector<float> pixels = values("x.safetensors", "input");
  // Along the gradient the slope is its length squared.
  double length = 0;
  for (const float g : gradient) length += double{g} * g;
  ASSERT_GT(length, 0);
  const double step = 1e-2 / std::sqrt(length);
  double moved[2];
  for (int side : {0, 1}) {
    std::vector<float> there = pixels;
    for (size_t i = 0; i < there.size(); ++i)
      there[i] += static_cast<float>((side == 0 ? -step : step) * gradient[i]);
    write_safetensors(path("m.safetensors"), {{"input", Tensor::f32({2, 3, 8, 8}, there)}});
    ASSERT_EQ(nestvit("run --model model --input m.safetensors --output l.safetensors").code, 0);
    const std::vector<float> logits = values("l.safetensors", "logits");
    moved[side] = double{logits[1]} + logits[4];
  }
  EXPECT_NEAR((moved[1] - moved[0]) / (2 * step) / length, 1, 0.02);
}

TEST_F(RunCli, GradientsOfSoftLabelsAreThoseOfTheMeanLoss) {
  write_input("x.safetensors", {2, 3, 8, 8});
  const TensorMap input = read_safetensors(path("x.safetensors"));
  ASSERT_EQ(nestvit("run --model model --input x.safetensors --output l.safetensors").code, 0);
  // Labels that are the model's own answers leave nothing to move.
  std::vector<float> labels = values("l.safetensors", "logits");
  for (size_t b = 0; b < 2; ++b) {
    double sum = 0;
    for (size_t k = 0; k < 3; ++k) sum += std::exp(labels[3 * b + k]);
    for (size_t k = 0; k < 3; ++k)
      labels[3 * b + k] = static_cast<float>(std::exp(labels[3 * b + k]) / sum);
  }
  TensorMap labelled{{"input", input.at("input")}, {"soft_labels", Tensor::f32({2, 3}, labels)}};
  write_safetensors(path("s.safetensors"), labelled);
  const std::string run = "run --model model --gradients soft --output g.safetensors --input ";
  ASSERT_EQ(nestvit(run + "s.safetensors").code, 0);
  for (const float g : values("g.safetensors", "input_grad")) EXPECT_NEAR(g, 0, 1e-6);
  labelled["soft_labels"] = Tensor::f32({2, 3}, {1, 0, 0, 0, 0, 1});
  write_safetensors(path("s.safetensors"), labelled);
  ASSERT_EQ(nestvit(run + "s.safetensors").code, 0);
  float largest = 0;
  for (const float g : values("g.safetensors", "input_grad"))
    largest = std::max(largest, std::abs(g));
  EXPECT_GT(largest, 1e-4);
}

TEST_F(RunCli, ExplainsBadGradients) {
  write_input("x.safetensors", {1, 3, 8, 8});
  const std::string run =
      "run --model model --input x.safetensors --output y.safetensors --gradients ";
  for (const char* word : {"3", "-1", "cat", "1x"})
    expect_failure(nestvit(run + word), 2, {"--gradients", "0 to 2"});
  expect_failure(nestvit(run + "soft"), 1, {"soft_labels"});
  expect_failure(nestvit(run + "1 --dtype int8"), 2, {"f32"});
  EXPECT_FALSE(fs::exists(path("y.safetensors")));
}

TEST_F(RunCli, ExplainsABadInput) {
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

TEST_F(RunCli, ExplainsABadModel) {
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

TEST_F(RunCli, DoesNotWriteWhereItCannot) {
  write_input("x.safetensors", {1, 3, 8, 8});
  expect_failure(nestvit("run --model model --input x.safetensors --output nowhere/y.safetensors"),
                 1, {"nowhere"});
}

#ifdef NESTVIT_HAS_TRAIN
TEST_F(RunCli, EnginesAgree) {
  write_input("x.safetensors", {3, 3, 8, 8});
  const std::string run = "run --model model --input x.safetensors --features --output ";
  EXPECT_EQ(nestvit(run + "core.safetensors").code, 0);
  const Outcome torch = nestvit(run + "torch.safetensors --engine torch");
  EXPECT_EQ(torch.code, 0) << torch.err;
  for (const char* tensor : {"logits", "level_0", "level_1"}) {
    const std::vector<float> a = values("core.safetensors", tensor);
    const std::vector<float> b = values("torch.safetensors", tensor);
    expect_near(b, a, 2e-5, tensor);
  }
}
#endif

}  // namespace
}  // namespace nestvit::testing

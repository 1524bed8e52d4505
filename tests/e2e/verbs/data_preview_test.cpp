// nestvit data preview, end to end: the picture, and the batches as tensors.
#include "support/train_cli_test.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;

class DataPreviewTest : public TrainCommandTest {
 protected:
  // Every augmentation, on batches of 8 that straddle epochs.
  Finished preview(Arguments more, const std::string& program = "nestvit") const {
    Arguments a = {"data",
                   "preview",
                   data().string(),
                   "--config.per_device_batch_size=12",
                   "--config.num_epochs=2",
                   "--config.warmup_epochs=1",
                   "--config.augment.type=randaugment",
                   "--config.randerasing.erase_prob=0.5",
                   "--config.mix.mixup_alpha=0.8"};
    a.insert(a.end(), more.begin(), more.end());
    return run(a, program);
  }
  std::string file(const std::string& name) const { return (root_ / name).string(); }
};

TEST_F(DataPreviewTest, DrawsWhatTrainingSees) {
  const Finished done = preview({"--output", file("grid.png"), "--images", "5", "--columns", "2"});
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("5 images from step 1 on"));
  EXPECT_THAT(done.text, HasSubstr("mixup")) << "says what is in force";
  const Image two = read_image(file("grid.png"), {});
  ASSERT_EQ(preview({"--output", file("more.png"), "--images", "20", "--columns", "2"}).code, 0);
  const Image many = read_image(file("more.png"), {});  // more than one batch holds
  EXPECT_EQ(many.width, two.width);
  EXPECT_GT(many.height, 2 * two.height) << "10 rows, not 3";
}

TEST_F(DataPreviewTest, BatchesAreTheSameFromAnyStep) {
  ASSERT_EQ(preview({"--steps", "3", "--save-batch", file("first")}).code, 0);
  ASSERT_EQ(preview({"--step", "3", "--save-batch", file("third"), "--workers", "3"}).code, 0);
  const TensorMap first = read_safetensors(file("first")), third = read_safetensors(file("third"));
  EXPECT_EQ(first.size(), 2U * 3 + 1);
  EXPECT_EQ(third.size(), 3U);
  for (const char* name : {"images.3", "targets.3"})
    EXPECT_EQ(first.at(name).to_f32(), third.at(name).to_f32()) << name;
  EXPECT_NE(first.at("images.1").to_f32(), first.at("images.2").to_f32());

  const Tensor& targets = first.at("targets.1");
  EXPECT_EQ(targets.shape(), (std::vector<int64_t>{12, 2}));
  const std::vector<float> values = targets.to_f32();
  for (size_t i = 0; i < values.size(); i += 2) EXPECT_NEAR(values[i] + values[i + 1], 1, 1e-6);
  EXPECT_EQ(first.at("images.1").dim(0), 12);
  const std::vector<float> rates = first.at("learning_rate").to_f32();
  ASSERT_EQ(rates.size(), 3U);
  EXPECT_LT(rates[0], rates[1]) << "warm-up";
}

// Two batches of 6 make a step: other mixing partners, the same images in the same order.
TEST_F(DataPreviewTest, AccumulatedStepsHoldAllTheirBatches) {
  const Arguments plain = {"--config.mix.mixup_alpha=null", "--step", "2", "--save-batch"};
  Arguments whole = plain, parts = plain;
  whole.push_back(file("whole"));
  parts.insert(parts.end(),
               {file("parts"), "--config.per_device_batch_size=6", "--config.grad_accum_steps=2"});
  ASSERT_EQ(preview(whole).code, 0);
  const Finished done = preview(parts);
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("1 steps of 12 images"));
  const TensorMap a = read_safetensors(file("whole")), b = read_safetensors(file("parts"));
  for (const char* name : {"images.2", "targets.2", "learning_rate"})
    EXPECT_EQ(a.at(name).to_f32(), b.at(name).to_f32()) << name;
}

TEST_F(DataPreviewTest, MistakesAreNamed) {
  const Finished nothing = preview({});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.text, HasSubstr("--output grid.png"));
  const Finished late = preview({"--output", file("x.png"), "--step", "99"});
  EXPECT_EQ(late.code, 2);
  EXPECT_THAT(late.text, HasSubstr("the run has 5 steps, not 99"));
  const Finished help = run({"data", "preview", "--help"}, "nestvit");
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.text, HasSubstr("--save-batch"));
}

}  // namespace
}  // namespace nestvit

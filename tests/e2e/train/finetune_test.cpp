// nestvit train from weights, end to end: fine-tuning, linear probe, evaluation only, and what is
// refused.
#include <sstream>

#include "support/train_cli_test.h"
#include "weights/export.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class FineTuneCommandTest : public TrainCommandTest {
 protected:
  void SetUp() override {
    TrainCommandTest::SetUp();
    save_model(root_ / "weights", tiny(5));
  }
  LoadedModel tiny(int classes) const {
    LoadedModel model;
    model.config = variant("nest_tiny_jx");
    model.config.image_size = 16;
    model.config.init_patch_embed_size = 2;
    model.config.patch_size = 4;
    model.config.num_layers_per_block = {1, 1};
    model.config.embedding_dim = 6;
    model.config.num_heads = 2;
    model.config.num_classes = classes;
    model.preprocessing = preprocessing_mode("timm", 16);
    for (int k = 0; k < classes; ++k) model.labels.push_back(fmt::format("class {}", k));
    model.tensors = initial_tensors(model.config, 7);
    return model;
  }
  // Flags of a short run from the weights.
  Arguments from_weights(Arguments more = {}) const {
    Arguments a = command({"--epochs", "2", "--pretrained-path", (root_ / "weights").string()});
    a.insert(a.end(), more.begin(), more.end());
    return a;
  }
  Arguments evaluation(Arguments more = {}) const {
    Arguments a = {"train",
                   "--config",
                   std::string(NESTVIT_SOURCE_DIR) + "/configs/imagenet_nest_tiny.yaml",
                   "--workdir",
                   workdir().string(),
                   "--data-dir",
                   data().string(),
                   "--config.eval_only=True",
                   "--threads",
                   "1"};
    a.insert(a.end(), more.begin(), more.end());
    return a;
  }
};

TEST_F(FineTuneCommandTest, PlainCommandTakesTheModelAndSaysWhatItDid) {
  const Finished done = run(from_weights(), "nestvit");
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("the default for fine-tuning on 32 images"));
  EXPECT_THAT(done.text, HasSubstr("a new head for 2 classes, zeros (the weights have 5)"));
  EXPECT_THAT(done.text, Not(HasSubstr("not in force")));
  const LoadedModel model = load_model(workdir() / "best");
  EXPECT_EQ(model.config.embedding_dim, 6);
  EXPECT_EQ(model.config.gelu, Gelu::kErf);
  EXPECT_EQ(model.preprocessing.resampler, Resampler::kPil);
  EXPECT_EQ(model.labels, (std::vector<std::string>{"bright", "dark"}));
}

TEST_F(FineTuneCommandTest, WeightsWithoutAClassifierGetOne) {
  save_model(root_ / "weights", tiny(2));  // as many classes as the data has
  TensorMap tensors = read_safetensors(root_ / "weights/model.safetensors");
  tensors.erase("head.weight");
  tensors.erase("head.bias");
  write_safetensors(root_ / "weights/model.safetensors", tensors);
  const Finished done = run(from_weights(), "nestvit");
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("a new head for 2 classes, zeros (the weights have none)"));
  EXPECT_EQ(load_model(workdir() / "best").labels, (std::vector<std::string>{"bright", "dark"}));
  fs::remove_all(workdir());
  const Finished only = run(from_weights({"--config.eval_only=True"}));
  EXPECT_EQ(only.code, 1) << only.text;
  EXPECT_THAT(only.text, HasSubstr("no classifier"));
}

TEST_F(FineTuneCommandTest, ResumedRunDoesNotReadTheWeights) {
  ASSERT_EQ(run(from_weights({"--epochs", "2"})).code, 0);
  fs::remove_all(root_ / "weights");
  const Finished more = run({"train", "--resume", workdir().string(), "--epochs", "3",
                             "--initial-checkpoint", "elsewhere"});
  EXPECT_EQ(more.code, 0) << more.text;
  EXPECT_THAT(more.text, HasSubstr("not read: a resumed run goes on from its own checkpoint"));
  EXPECT_EQ(lines(workdir() / "summary.csv"), 1 + 3);
}

TEST_F(FineTuneCommandTest, LargerImagesResizePositionEmbeddings) {
  const Finished done = run(from_weights({"--img-size", "32", "--config.resize_posembed=2"}));
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("blocks of 8 x 8 tokens instead of 4 x 4"));
  EXPECT_EQ(load_model(workdir() / "last").config.patch_size, 8);
}

TEST_F(FineTuneCommandTest, LinearProbeFreezeAndLayerDecay) {
  const Finished probe = run(from_weights({"--linear-probe"}));
  ASSERT_EQ(probe.code, 0) << probe.text;
  EXPECT_THAT(probe.text, HasSubstr("frozen         backbone"));
  const LoadedModel model = load_model(workdir() / "last");
  const LoadedModel start = load_model(root_ / "weights");
  for (const auto& [name, tensor] : model.tensors) {
    const bool same = tensor.shape() == start.tensors.at(name).shape() &&
                      tensor.to_f32() == start.tensors.at(name).to_f32();
    EXPECT_EQ(same, !name.starts_with("head.")) << name;
  }

  fs::remove_all(workdir());
  const Finished part =
      run(from_weights({"--freeze", "patch_embed,levels.0", "--layer-decay", "0.5"}));
  ASSERT_EQ(part.code, 0) << part.text;
  EXPECT_THAT(part.text, HasSubstr("frozen         patch_embed, levels.0"));
  EXPECT_THAT(part.text, HasSubstr("layer decay    0.5"));
  EXPECT_THAT(part.text, HasSubstr("1 for 2 tensors"));
}

TEST_F(FineTuneCommandTest, EvaluationOnlyIsTheReferencesCommand) {
  // 64 pixels, as the recipe's sizes need; official weights in the official form.
  LoadedModel model = tiny(2);
  model.config = variant("nest_tiny_s196_224");
  model.config.image_size = 64;
  model.config.patch_size = 4;
  model.config.num_layers_per_block = {2, 2, 8};
  model.config.embedding_dim = 96;
  model.config.num_classes = 2;
  model.preprocessing = preprocessing_mode("jax", 64);
  model.tensors = initial_tensors(model.config, 3);
  export_model(model, ExportFormat::kFlax, root_ / "nest-t");
  const Finished done =
      run(evaluation({"--config.init_checkpoint=" + (root_ / "nest-t/ckpt.39").string()}));
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, ::testing::ContainsRegex(
                             R"(\[0\] accuracy=[0-9]\.[0-9]{6}, eval_loss=[0-9]\.[0-9]{6})"));
  EXPECT_THAT(done.text, HasSubstr("no images to train on, 8 to evaluate"));
  EXPECT_FALSE(fs::exists(workdir() / "checkpoints"));
  EXPECT_EQ(lines(workdir() / "summary.csv"), 1 + 1);
  EXPECT_EQ(lines(workdir() / "log.jsonl"), 1);
  EXPECT_THAT(read_text(workdir() / "log.jsonl"), HasSubstr("\"accuracy\""));
}

TEST_F(FineTuneCommandTest, EvaluationAgreesWithEval) {
  ASSERT_EQ(run(small({"--epochs", "2"})).code, 0);
  const std::string model = (workdir() / "last").string();
  const Finished eval = run({"eval", "--model", model, "--data-dir", data().string()});
  ASSERT_EQ(eval.code, 0) << eval.text;
  const Finished only = run({"train", data().string(), "--config.eval_only", "--initial-checkpoint",
                             model, "--workdir", (root_ / "e").string()});
  ASSERT_EQ(only.code, 0) << only.text;
  std::istringstream words(eval.text.substr(eval.text.find("top-1")));
  std::string label, top1;
  words >> label >> top1;
  EXPECT_THAT(only.text, HasSubstr("val top-1 " + top1 + " %"));
}

TEST_F(FineTuneCommandTest, EvaluationMatchesAPartOfTheClassesByName) {
  LoadedModel model = tiny(3);
  model.labels = {"other", "dark", "bright"};
  std::vector<float> head(static_cast<size_t>(model.tensors.at("head.weight").size()), 0.0f);
  model.tensors["head.weight"] = Tensor::f32(model.tensors.at("head.weight").shape(), head);
  model.tensors["head.bias"] = Tensor::f32({3}, {0, 2, 1});  // always "dark", never "other"
  save_model(root_ / "weights", model);
  const Finished done = run(from_weights({"--config.eval_only=True"}));
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("[0] accuracy=0.500000, eval_loss="));
  // ln(1 + e^1 + e^2) less 2 and less 1, halved.
  EXPECT_THAT(done.text, HasSubstr("eval_loss=0.907606"));
}

// The last row's top-1 of a run's summary.
std::string last_top1(const fs::path& run) {
  std::istringstream summary(read_text(run / "summary.csv"));
  std::string line, last;
  while (std::getline(summary, line)) last = line;
  std::istringstream row(last);
  for (int cell = 0; cell < 4; ++cell) std::getline(row, line, ',');
  return line;
}

TEST_F(FineTuneCommandTest, ClassesInAnotherOrderTakeTheirRowsWithThem) {
  ASSERT_EQ(run(small({"--epochs", "6"})).code, 0);
  EXPECT_GT(std::stod(last_top1(workdir())), 75) << "half would be the same the other way round";
  write_file(root_ / "map.txt", "dark\nbright\n");
  const fs::path again = root_ / "again";
  const Finished done = run(command({"--initial-checkpoint", (workdir() / "last").string(),
                                     "--class-map", (root_ / "map.txt").string(), "--lr", "1e-9",
                                     "--epochs", "1", "--workdir", again.string()}));
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("its rows moved: the same 2 classes in another order"));
  EXPECT_EQ(last_top1(again), last_top1(workdir()));
}

TEST_F(FineTuneCommandTest, OtherClassesOfTheSameNumberHaveANewHead) {
  ASSERT_EQ(run(small({"--epochs", "1", "--warmup-epochs", "0"})).code, 0);
  fs::rename(data() / "bright", data() / "day");
  fs::rename(data() / "dark", data() / "night");
  const Arguments next = {
      "--initial-checkpoint",   (workdir() / "last").string(), "--epochs", "1", "--workdir",
      (root_ / "next").string()};
  const Finished done = run(command(next));
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("a new head for 2 classes, zeros (the weights have 2 others)"));
}

// With another seed, what the first run learned from is what the second holds out.
TEST_F(FineTuneCommandTest, ImagesThatTheWeightsKnowAreNotToBeEvaluatedOn) {
  ASSERT_EQ(run(small({"--epochs", "1", "--warmup-epochs", "0"})).code, 0);
  Arguments next = {
      "--initial-checkpoint",   (workdir() / "last").string(), "--epochs", "1", "--workdir",
      (root_ / "same").string()};
  EXPECT_THAT(run(command(next)).text, Not(HasSubstr("was trained on some of the images")));
  next.back() = (root_ / "other").string();
  next.insert(next.end(), {"--seed", "7", "--val-share", "0.5"});
  EXPECT_THAT(run(command(next)).text, HasSubstr("--val-share 0.2 --seed 42 hold out the same"));
}

TEST_F(FineTuneCommandTest, MistakesExitWith2AndWriteNothing) {
  const auto expect = [&](const Arguments& arguments, const std::string& word, int code = 2) {
    const Finished done = run(arguments);
    EXPECT_EQ(done.code, code) << done.text;
    EXPECT_THAT(done.text, HasSubstr(word));
    EXPECT_FALSE(fs::exists(workdir())) << "nothing written";
  };
  expect(from_weights({"--img-size", "30"}), "multiple of 4");
  expect(from_weights({"--img-size", "32", "--config.resize_posembed=1.5"}), "the ratio is 2");
  expect(from_weights({"--model", "nest_base_s196_224"}), "is not that of");
  expect(from_weights({"--config.nest.embedding_dim=12"}), "the channels per level");
  expect(from_weights({"--config.reinit_head=ones"}), "zero_all");
  expect(from_weights({"--freeze", "level.0"}), "begins with \"level.0\"");
  expect(from_weights({"--freeze", "backbone,head"}), "nothing to train");
  expect(from_weights({"--layer-decay", "0"}), "layer_decay");
  expect(from_weights({"--config.posembed_resize=cubic"}), "auto");
  expect(from_weights({"--config.eval_only=True"}), "knows 5 classes, the data has 2");
  expect(small({"--linear-probe"}), "freeze needs weights to start from");
  expect(evaluation(), "eval_only needs weights to start from");
  expect(from_weights({"--pretrained-path", (root_ / "nowhere").string()}), "nowhere", 1);
}

}  // namespace
}  // namespace nestvit

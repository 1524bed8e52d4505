// Several processes train as one does, evaluate as one does, resume at any number, and end together
// with an error that names the rank that failed.
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "support/train_cli_test.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

std::vector<Json> logged(const fs::path& workdir, const std::string& event) {
  std::vector<Json> lines;
  std::istringstream log(read_text(workdir / "log.jsonl"));
  for (std::string text; std::getline(log, text);) {
    Json line = Json::parse(text);
    if (line.at("event") == event) lines.push_back(std::move(line));
  }
  return lines;
}

// Sums in f32 in another order differ by a few 2^-24; a learning rate of 1e-4 lets 50 steps of that
// grow by less than a hundredfold. The gradient may jump where a max-pool's two largest inputs are
// equal but for rounding: it then takes the way of the other one, a part in a thousand of the
// whole.
constexpr double kLossTolerance = 1e-5, kNormTolerance = 1e-2;

class DistributedTest : public TrainCommandTest {
 protected:
  // 32 images to train on, 8 to evaluate; `steps` steps of which each is logged.
  Arguments steps(int count, const std::string& folder, Arguments more = {}) const {
    Arguments a =
        small({"--workdir", (root_ / folder).string(), "--epochs", "2", "--log-interval", "1",
               "--warmup-epochs", "0.5", fmt::format("--config.num_train_steps={}", count)});
    a.insert(a.end(), more.begin(), more.end());
    return a;
  }
  // Everything that draws, accumulates, clips or averages.
  static Arguments everything() {
    return {"-b",
            "4",
            "--grad-accum-steps",
            "2",
            "--clip-grad",
            "0.5",
            "--model-ema",
            "--model-ema-decay",
            "0.9",
            "--drop-path",
            "0.2",
            "--config.augment.type=randaugment",
            "--config.randerasing.erase_prob=0.5",
            "--config.mix.mixup_alpha=0.8",
            "--config.mix.smoothing=0.1"};
  }
  Finished run_well(const Arguments& arguments) const {
    const Finished done = run(arguments);
    EXPECT_EQ(done.code, 0) << done.text;
    return done;
  }
  // Losses and gradient norms of every step agree.
  void expect_same_steps(const std::string& a, const std::string& b) const {
    const auto one = logged(root_ / a, "train"), other = logged(root_ / b, "train");
    ASSERT_EQ(one.size(), other.size());
    ASSERT_GT(one.size(), 0U);
    double worst_loss = 0, worst_norm = 0;
    for (size_t i = 0; i < one.size(); ++i) {
      ASSERT_EQ(one[i].at("learning_rate"), other[i].at("learning_rate"));
      const auto difference = [&](const char* key) {
        const auto x = one[i].at(key).get<double>(), y = other[i].at(key).get<double>();
        return std::abs(x - y) / std::abs(x);
      };
      worst_loss = std::max(worst_loss, difference("loss"));
      worst_norm = std::max(worst_norm, difference("l2_grads"));
    }
    std::printf("[          ] %zu steps, the worst differences: loss %.2g, gradient norm %.2g\n",
                one.size(), worst_loss, worst_norm);
    EXPECT_LT(worst_loss, kLossTolerance);
    EXPECT_LT(worst_norm, kNormTolerance);
  }
  // The processes of a run that was started with --nproc, by rank.
  static std::vector<pid_t> ranks(pid_t parent, size_t count) {
    std::vector<pid_t> found;
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (found.size() < count && std::chrono::steady_clock::now() < end) {
      std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", parent));
      found.assign(std::istream_iterator<pid_t>(children), {});
    }
    return found;
  }
};

TEST_F(DistributedTest, ManyProcessesAreOneWithAsManyDevices) {
  Arguments one = steps(50, "one", everything()), three = steps(50, "three", everything());
  one.insert(one.end(), {"--config.num_devices=3", "--lr", "1e-4"});
  three.insert(three.end(), {"--nproc", "3", "--lr", "1e-4"});
  run_well(one);
  run_well(three);
  expect_same_steps("one", "three");
}

// One process that exchanges with itself: the bits of one that does not.
TEST_F(DistributedTest, ANamedBackendChangesNothingForOneProcess) {
  run_well(steps(12, "plain", everything()));
  Arguments a = steps(12, "gloo", everything());
  a.insert(a.end(), {"--dist-backend", "gloo"});
  EXPECT_THAT(run_well(a).text, HasSubstr("gradients      exchanged with Gloo"));
  expect_same_steps("plain", "gloo");
  for (const auto& [name, tensor] : load_model(root_ / "plain/last").tensors)
    EXPECT_EQ(load_model(root_ / "gloo/last").tensors.at(name).to_f32(), tensor.to_f32()) << name;
}

TEST_F(DistributedTest, NProcessesOfBAreOneOfNTimesB) {
  Arguments one = steps(50, "one", {"-b", "16", "--lr", "1e-4", "--drop-path", "0"});
  Arguments two = steps(50, "two", {"-b", "8", "--lr", "1e-4", "--drop-path", "0"});
  two.insert(two.end(), {"--nproc", "2"});
  run_well(one);
  run_well(two);
  expect_same_steps("one", "two");
}

TEST_F(DistributedTest, SharedBatchNormIsThatOfTheWholeBatch) {
  const Arguments norm = {"--lr", "1e-4", "--drop-path", "0", "--config.nest.norm_type=BN"};
  Arguments one = steps(50, "one", norm), two = steps(50, "two", norm), own = two;
  one.insert(one.end(), {"-b", "16"});
  two.insert(two.end(), {"-b", "8", "--nproc", "2", "--sync-bn"});
  own.insert(own.end(), {"-b", "8", "--nproc", "2", "--workdir", (root_ / "own").string()});
  run_well(one);
  run_well(two);
  run_well(own);
  expect_same_steps("one", "two");
  const double whole = logged(root_ / "one", "train").front().at("loss");
  EXPECT_GT(std::abs(logged(root_ / "own", "train").front().at("loss").get<double>() - whole), 1e-4)
      << "each process by itself normalises otherwise";
  const Tensor mean = load_model(root_ / "two/last")
                          .tensors.at("levels.0.transformer_encoder.0.norm1.running_mean");
  const Tensor expected = load_model(root_ / "one/last")
                              .tensors.at("levels.0.transformer_encoder.0.norm1.running_mean");
  for (int64_t c = 0; c < mean.size(); ++c)
    EXPECT_NEAR(mean.to_f32()[c], expected.to_f32()[c], 1e-4);
}

TEST_F(DistributedTest, EvaluationCountsEveryImageOnceWhateverTheRemainder) {
  run_well(steps(4, "trained"));
  write_image("dark", 97);  // makes 41 images, of which 9 are for evaluation
  std::vector<Json> results;
  for (const int processes : {1, 2, 4}) {
    const std::string folder = fmt::format("eval{}", processes);
    Arguments a = {"train",
                   data().string(),
                   "--workdir",
                   (root_ / folder).string(),
                   "--initial-checkpoint",
                   (root_ / "trained/last").string(),
                   "--config.eval_only=true",
                   "--config.data.val_share=1",
                   "--config.eval_batch_size=4"};
    if (processes > 1) a.insert(a.end(), {"--nproc", std::to_string(processes)});
    run_well(a);
    results.push_back(logged(root_ / folder, "eval").at(0));
  }
  EXPECT_EQ(results[0].at("images"), 41);
  for (size_t i = 1; i < results.size(); ++i) {
    for (const char* key : {"images", "top1", "top5"})
      EXPECT_EQ(results[i].at(key), results[0].at(key)) << key;
    const auto loss = results[0].at("eval_loss").get<double>();
    EXPECT_NEAR(results[i].at("eval_loss").get<double>(), loss, 1e-6 * loss);
  }
}

TEST_F(DistributedTest, BadImagesOfAllProcessesAreLeftOutAndListed) {
  for (const char* name : {"a.png", "b.png", "c.png", "d.png"})
    write_file(data() / "dark" / name, "no image");
  Arguments a = steps(12, "run", {"--nproc", "2", "-b", "4", "--on-bad-image", "skip"});
  const Finished done = run_well(a);
  std::set<std::string> skipped;
  for (const Json& line : logged(workdir(), "skipped")) skipped.insert(line.at("image"));
  EXPECT_EQ(skipped.size(), 4U) << done.text;
}

TEST_F(DistributedTest, GoesOnWithAnotherNumberOfProcesses) {
  Arguments whole = steps(24, "whole", everything());
  whole.insert(whole.end(), {"--config.num_devices=4", "--lr", "1e-4"});
  run_well(whole);
  Arguments part = steps(24, "run", everything());
  part.insert(part.end(), {"--nproc", "4", "--lr", "1e-4", "--config.checkpoint_every_steps=1"});
  const pid_t child = start(part);
  ASSERT_TRUE(appears(workdir() / "log.jsonl", "\"checkpoint\",\"time\"", child));
  kill(child, SIGTERM);
  const Finished stopped = wait(child);
  EXPECT_EQ(stopped.code, 128 + SIGTERM) << stopped.text;
  EXPECT_THAT(stopped.text, HasSubstr("stopped after step"));
  // Eight batches a step: three processes have unequal shares.
  const Finished three = run({"train", "--resume", workdir().string(), "--nproc", "3"});
  EXPECT_EQ(three.code, 0) << three.text;
  expect_same_steps("whole", "run");
  const Finished many = run({"train", "--resume", workdir().string(), "--nproc", "9"});
  EXPECT_EQ(many.code, 2) << many.text;
  EXPECT_THAT(many.text, HasSubstr("8 batches"));
}

TEST_F(DistributedTest, AKilledProcessIsNamedAndTheRunGoesOn) {
  for (const size_t victim : {0, 1, 2}) {
    SCOPED_TRACE(victim);
    fs::remove_all(workdir());
    Arguments a = steps(100000, "run", {"-b", "4", "--nproc", "3"});
    a.push_back("--config.checkpoint_every_steps=2");
    const pid_t child = start(a);
    ASSERT_TRUE(appears(workdir() / "log.jsonl", "\"checkpoint\"", child)) << read_text(log_file());
    kill(ranks(child, 3).at(victim), SIGKILL);
    const auto killed = std::chrono::steady_clock::now();
    const Finished ended = wait(child);
    EXPECT_LT(std::chrono::steady_clock::now() - killed, std::chrono::seconds(20));
    EXPECT_EQ(ended.code, 1) << ended.text;
    EXPECT_THAT(ended.text, HasSubstr(fmt::format("rank {} was ended by signal 9", victim)));
    EXPECT_THAT(ended.text, HasSubstr(fmt::format("cannot continue: rank {} (", victim)));
    EXPECT_NO_THROW(load_model(workdir() / "last"));
  }
  const pid_t child = start({"train", "--resume", workdir().string(), "--nproc", "2"});
  ASSERT_TRUE(appears(log_file(), "going on after step", child)) << read_text(log_file());
  kill(child, SIGINT);
  EXPECT_EQ(wait(child).code, 128 + SIGINT);
}

TEST_F(DistributedTest, ASilentProcessIsNamedInTime) {
  const pid_t child =
      start(steps(100000, "run", {"-b", "4", "--nproc", "2", "--dist-timeout", "4"}));
  ASSERT_TRUE(appears(workdir() / "log.jsonl", "\"train\"", child)) << read_text(log_file());
  kill(ranks(child, 2).at(1), SIGSTOP);
  const auto stopped = std::chrono::steady_clock::now();
  const Finished ended = wait(child);
  // 4 s of silence, 5 s for the run to notice, 10 s until the stopped one is ended by force.
  EXPECT_LT(std::chrono::steady_clock::now() - stopped, std::chrono::seconds(90));
  EXPECT_EQ(ended.code, 1) << ended.text;
  EXPECT_THAT(ended.text, HasSubstr("rank 1 ("));
}

TEST_F(DistributedTest, ABrokenLossEndsAllWithOneWord) {
  const Finished ended = run(steps(50, "run", {"-b", "4", "--nproc", "2", "--lr", "1e30"}));
  EXPECT_EQ(ended.code, 1) << ended.text;
  const std::string words = "the loss is";
  EXPECT_THAT(ended.text, HasSubstr(words));
  EXPECT_EQ(ended.text.find(words), ended.text.rfind(words)) << ended.text;
}

TEST_F(DistributedTest, AMistakeIsSaidOnce) {
  const Finished ended = run(steps(50, "run", {"--nproc", "3", "--config.nest.embeding_dim=3"}));
  EXPECT_EQ(ended.code, 2) << ended.text;
  EXPECT_EQ(ended.text.find("embeding_dim"), ended.text.rfind("embeding_dim")) << ended.text;
}

TEST_F(DistributedTest, OnlyOneProcessWrites) {
  const Finished done = run_well(steps(8, "run", {"-b", "4", "--nproc", "2"}));
  EXPECT_EQ(lines(workdir() / "summary.csv"), 3) << read_text(workdir() / "summary.csv");
  EXPECT_EQ(logged(workdir(), "start").size(), 1U);
  EXPECT_EQ(logged(workdir(), "start")[0].at("processes"), 2);
  EXPECT_EQ(logged(workdir(), "train").size(), 8U);
  EXPECT_EQ(done.text.find("run folder"), done.text.rfind("run folder"));
}

// As torchrun does it: the same command again.
TEST_F(DistributedTest, AJobThatIsStartedAgainGoesOn) {
  run_well(steps(8, "run", {"-b", "4"}));
  setenv("TORCHELASTIC_RESTART_COUNT", "1", 1);
  const Finished again = run(steps(8, "run", {"-b", "4"}));
  unsetenv("TORCHELASTIC_RESTART_COUNT");
  EXPECT_EQ(again.code, 0) << again.text;
  EXPECT_THAT(again.text, HasSubstr("all 8 steps are done"));
}

}  // namespace
}  // namespace nestvit

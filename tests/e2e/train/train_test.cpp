// nestvit train, end to end: the real program on a folder of generated images; stopped by signals,
// resumed, refused.
#include <pty.h>
#include <sched.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "support/train_cli_test.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(TrainCommandTest, TrainsAFolderThroughTheLeanProgram) {
  const Finished done = run(small(), "nestvit");
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("2: bright, dark"));
  EXPECT_THAT(
      done.text,
      HasSubstr("32 images to train on, 8 to evaluate (20 % of each class, drawn with seed 42)"));
  EXPECT_THAT(done.text, HasSubstr("val top-1"));
  EXPECT_THAT(done.text, Not(HasSubstr("\r"))) << "plain lines when stderr is no terminal";
  EXPECT_EQ(lines(workdir() / "summary.csv"), 1 + 3);
  const LoadedModel model = load_model(workdir() / "best");
  EXPECT_EQ(model.labels, (std::vector<std::string>{"bright", "dark"}));
  EXPECT_TRUE(model.preprocessing.exif_orientation);
  EXPECT_EQ(model.preprocessing.background, (std::array<uint8_t, 3>{255, 255, 255}));
  for (const auto& entry : fs::recursive_directory_iterator(workdir()))
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("tmp"))) << "left behind";
}

TEST_F(TrainCommandTest, SaysAtTheStartWhatIsNotRead) {
  for (int i = 0; i < 3; ++i) write_file(data() / "bright" / fmt::format("{}.bmp", i), "BM");
  fs::create_directory(data() / "lost+found");
  write_file(data() / "lost+found" / "x.png", "x");
  write_file(data() / "readme.txt", "x");
  const Finished done = run(small({"--epochs", "2"}));
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("2: bright, dark"));
  const std::string warning = "3 files are not read (3 .bmp)";
  EXPECT_THAT(done.text, HasSubstr("warning: " + data().string() + ": " + warning));
  EXPECT_EQ(done.text.find(warning), done.text.rfind(warning)) << "said once";
  EXPECT_THAT(done.text, HasSubstr("1 file is not read (1 .txt)"));
}

TEST_F(TrainCommandTest, SaysAtTheStartWhichColumnsAreNotRead) {
  std::string rows = "id,Filename,Species,Set\n";
  for (const char* label : {"bright", "dark"})
    for (int i = 0; i < 20; ++i)
      rows += fmt::format("{},{}/{}.png, {}{},{}\n", i, label, i, label, i % 2 ? " " : "",
                          i < 15 ? "Train" : "validation");
  write_file(data() / "train.csv", rows);
  const Finished done = run(small({"--epochs", "2"}));
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("2: bright, dark"));
  EXPECT_THAT(done.text, HasSubstr("30 images to train on, 10 to evaluate"));
  const std::string said =
      "columns that are not read: id (path is 'Filename', label is 'Species', part is 'Set')";
  EXPECT_THAT(done.text, HasSubstr(said));
  EXPECT_EQ(done.text.find(said), done.text.rfind(said)) << "said once";
}

TEST_F(TrainCommandTest, AClassOfWhichNothingCanBeReadIsNamed) {
  for (const auto& entry : fs::directory_iterator(data() / "dark"))
    write_file(entry.path(), "no image");
  const Finished done = run(small({"--epochs", "2", "--on-bad-image", "skip"}));
  EXPECT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("no image of class 'dark' can be read"));
}

class SignalTest : public TrainCommandTest, public ::testing::WithParamInterface<int> {};

TEST_P(SignalTest, SavesExitsAndGoesOn) {
  std::signal(SIGHUP, SIG_DFL);  // the tests themselves may run under nohup
  const Arguments many = {"--epochs", "100000", "--log-interval", "1",
                          "--config.eval_per_epochs=100000"};
  const pid_t child = start(small(many));
  ASSERT_TRUE(appears(workdir() / "log.jsonl", "\"train\"", child)) << read_text(log_file());
  kill(child, GetParam());
  const Finished stopped = wait(child);
  EXPECT_EQ(stopped.code, 128 + GetParam()) << stopped.text;
  EXPECT_THAT(stopped.text, HasSubstr("device         cpu\n"));
  EXPECT_THAT(stopped.text,
              HasSubstr(fmt::format("to go on: nestvit train --resume {}\n", workdir().string())));
  EXPECT_NO_THROW(load_model(workdir() / "last"));

  // 800 steps: more than were done between the first line of the log and the signal.
  const Finished resumed = run({"train", "--resume", workdir().string(), "--epochs", "200",
                                "--threads", "1", "--config.eval_per_epochs=100"});
  EXPECT_EQ(resumed.code, 0) << resumed.text;
  EXPECT_THAT(resumed.text, HasSubstr("going on after step"));
  EXPECT_EQ(read_text(workdir() / "summary.csv").find("epoch,", 1), std::string::npos)
      << "one header";
}

INSTANTIATE_TEST_SUITE_P(Signals, SignalTest, ::testing::Values(SIGHUP, SIGINT, SIGTERM, SIGUSR1),
                         [](const auto& signal) {
                           return std::string("SIG") + sigabbrev_np(signal.param);
                         });

// As under nohup.
TEST_F(TrainCommandTest, AnIgnoredHangupStaysIgnored) {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  const pid_t child = start(small({"--epochs", "100000", "--log-interval", "1"}));
  std::signal(SIGHUP, before);
  ASSERT_TRUE(appears(workdir() / "log.jsonl", "\"train\"", child)) << read_text(log_file());
  kill(child, SIGHUP);
  const auto so_far = fs::file_size(workdir() / "log.jsonl");
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (fs::file_size(workdir() / "log.jsonl") < so_far + 2000 &&
         std::chrono::steady_clock::now() < end && waitpid(child, nullptr, WNOHANG) == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_GE(fs::file_size(workdir() / "log.jsonl"), so_far + 2000) << "it goes on";
  kill(child, SIGTERM);
  EXPECT_EQ(wait(child).code, 128 + SIGTERM);
}

// A connection that breaks takes the terminal with it: nothing can be written there any more, and a
// `tee` behind the run is gone, too.
TEST_F(TrainCommandTest, AClosedTerminalCostsNoSteps) {
  for (const bool tee : {false, true}) {
    fs::remove_all(workdir());
    std::string command =
        fmt::format("cd '{}' && exec '{}/nestvit'", root_.string(), NESTVIT_BIN_DIR);
    for (const std::string& word :
         small({"--epochs", "100000", "--log-interval", "1", "--config.eval_per_epochs=100000"}))
      command += " '" + word + "'";
    if (tee) command += " 2>&1 | tee log.txt";
    int terminal = -1;
    const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
    if (child == 0) {
      std::signal(SIGHUP, SIG_DFL);
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    ASSERT_TRUE(appears(workdir() / "log.jsonl", "\"train\"", child));
    close(terminal);
    const auto end = std::chrono::steady_clock::now() + kPatience;
    std::string log;
    while (log.find("\"signal\":1,") == std::string::npos &&
           log.find("\"signal\":1}") == std::string::npos &&
           std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      log = read_text(workdir() / "log.jsonl");
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(tee || WEXITSTATUS(status) == 128 + SIGHUP) << status;
    EXPECT_NO_THROW(load_model(workdir() / "last")) << tee;
  }
}

TEST_F(TrainCommandTest, KilledRunGoesOnFromItsLastCheckpoint) {
  const pid_t child = start(small({"--epochs", "100000", "--config.eval_per_epochs=100000",
                                   "--config.checkpoint_every_steps=2"}));
  ASSERT_TRUE(appears(workdir() / "log.jsonl", "\"checkpoint\"", child)) << read_text(log_file());
  kill(child, SIGKILL);
  wait(child);
  const Finished resumed = run({"train", "--workdir", workdir().string(), "--resume", "--epochs",
                                "200", "--config.eval_per_epochs=100", "--threads", "1"});
  EXPECT_EQ(resumed.code, 0) << resumed.text;
  EXPECT_NO_THROW(load_model(workdir() / "last"));
  for (const auto& entry : fs::directory_iterator(workdir() / "checkpoints"))
    EXPECT_THAT(entry.path().filename().string(), ::testing::StartsWith("step-"));
}

// A file that came without its folder's time changing is one that only a look at the folder finds.
TEST_F(TrainCommandTest, ResumingOpensTheDataByItsIndex) {
  const auto age = [this] {
    static const auto then = fs::file_time_type::clock::now() - std::chrono::hours(1);
    for (const char* folder : {"bright", "dark", ""}) fs::last_write_time(data() / folder, then);
  };
  age();
  ASSERT_EQ(run(small()).code, 0);
  write_image("dark", 20);
  age();
  const Finished resumed = run({"train", "--resume", workdir().string(), "--epochs", "4"});
  EXPECT_EQ(resumed.code, 0) << resumed.text;
  write_image("dark", 21);  // and now the folder's time says so
  const Finished changed = run({"train", "--resume", workdir().string(), "--epochs", "5"});
  EXPECT_EQ(changed.code, 1);
  EXPECT_THAT(changed.text, HasSubstr("has changed since"));
  EXPECT_THAT(changed.text, HasSubstr("was trained on 32 images"));
}

TEST_F(TrainCommandTest, UsedFolderFinishedRunAndChangedModel) {
  ASSERT_EQ(run(small()).code, 0);
  const Finished again = run(small());
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(again.text, HasSubstr("--resume"));

  const Finished finished = run(small({"--resume"}));
  EXPECT_EQ(finished.code, 0) << finished.text;
  EXPECT_THAT(finished.text, HasSubstr("finished"));

  const Finished changed = run(small({"--resume", "--config.nest.embedding_dim=32"}));
  EXPECT_EQ(changed.code, 2);
  EXPECT_THAT(changed.text, HasSubstr("nest.embedding_dim was 16"));

  const Finished more = run({"train", "--resume", workdir().string(), "--epochs", "4"});
  EXPECT_EQ(more.code, 0) << more.text;
  EXPECT_EQ(lines(workdir() / "summary.csv"), 1 + 4);
}

TEST_F(TrainCommandTest, EvalOfTheSameProgramAgreesWithTheRun) {
  ASSERT_EQ(run(small()).code, 0);
  const Finished eval = run({"eval", "--model", (workdir() / "last").string(), "--data-dir",
                             data().string(), "--results-file", (root_ / "result.csv").string()});
  ASSERT_EQ(eval.code, 0) << eval.text;
  std::istringstream summary(read_text(workdir() / "summary.csv"));
  std::string line, last;
  while (std::getline(summary, line)) last = line;
  std::vector<std::string> cells;
  std::istringstream row(last);
  for (std::string cell; std::getline(row, cell, ',');) cells.push_back(cell);
  EXPECT_THAT(eval.text, HasSubstr(fmt::format("top-1    {:.2f} %", std::stod(cells.at(3)))));
}

// Nobody needs to remember how the images were divided, in whatever form the model goes on.
TEST_F(TrainCommandTest, EvalTakesTheImagesThatTheRunHeldOut) {
  ASSERT_EQ(run(small({"--seed", "7", "--val-share", "0.3"})).code, 0);
  const std::string last = (workdir() / "last").string();
  const auto made = [&](const std::string& verb, const std::string& name, Arguments more) {
    const std::string out = (root_ / name).string();
    Arguments a = verb == "quantize" ? Arguments{verb, "--model", last, "--output", out}
                                     : Arguments{verb, last, out};
    a.insert(a.end(), more.begin(), more.end());
    const Finished done = run(a, "nestvit");
    EXPECT_EQ(done.code, 0) << done.text;
    return out;
  };
  for (const std::string& model :
       {last, made("convert", "copy", {}), made("convert", "model.pth", {"--to", "pth"}),
        made("convert", "model.safetensors", {"--to", "safetensors"}), made("quantize", "q", {})}) {
    const Finished eval = run({"eval", "--model", model, "--data-dir", data().string()}, "nestvit");
    ASSERT_EQ(eval.code, 0) << eval.text;
    EXPECT_THAT(eval.text, HasSubstr("the 12 of 40 images that its training held out"));
    EXPECT_THAT(eval.text, HasSubstr("held out): 12 images"));
    EXPECT_THAT(eval.text, Not(HasSubstr("warning")));
  }
  const Finished inspected = run({"inspect", last}, "nestvit");
  EXPECT_THAT(inspected.text,
              HasSubstr("28 images, 12 held out: 30 % of each class, drawn with seed 7"));
  write_image("dark", 20);
  const Finished changed = run({"eval", "--model", last, "--data-dir", data().string()}, "nestvit");
  EXPECT_THAT(changed.text, HasSubstr("trained on some of them"));
  EXPECT_THAT(changed.text, HasSubstr("all): 41 images"));
}

TEST_F(TrainCommandTest, AFinishedRunKeepsItsSettings) {
  ASSERT_EQ(run(small()).code, 0);
  const std::string settings = read_text(workdir() / "config.yaml");
  const Finished fewer =
      run({"train", "--resume", workdir().string(), "--epochs", "1", "--lr", "5"});
  EXPECT_EQ(fewer.code, 0) << fewer.text;
  EXPECT_THAT(fewer.text, HasSubstr("it has done 12 steps, and 4 are asked for; to go on, ask for "
                                    "more than 3 epochs"));
  EXPECT_THAT(fewer.text, HasSubstr("config.yaml keeps its settings"));
  EXPECT_EQ(read_text(workdir() / "config.yaml"), settings);
  const Finished more = run({"train", "--resume", workdir().string(), "--epochs", "4"});
  EXPECT_EQ(more.code, 0) << more.text;
  EXPECT_THAT(read_text(workdir() / "config.yaml"), HasSubstr("num_epochs: 4"));
}

TEST_F(TrainCommandTest, OtherFilesOfTheSameNumberAreNotResumedWith) {
  ASSERT_EQ(run(small()).code, 0);
  fs::rename(data() / "dark/1.png", data() / "dark/renamed.png");
  fs::rename(data() / "bright/2.png", data() / "dark/2b.png");
  fs::rename(data() / "dark/3.png", data() / "bright/3b.png");
  const Finished resumed = run({"train", "--resume", workdir().string(), "--epochs", "4"});
  EXPECT_EQ(resumed.code, 1) << resumed.text;
  EXPECT_THAT(resumed.text, HasSubstr("another name or class"));
  const Finished part = run({"train", "--resume", (workdir() / "best").string()});
  EXPECT_EQ(part.code, 1) << part.text;
  EXPECT_THAT(part.text, HasSubstr("hint: --resume " + workdir().string()));
}

// The threads of a run while it trains: of the computation, and one that reads images.
class ThreadsTest : public TrainCommandTest {
 protected:
  int threads(Arguments more) const {
    fs::remove_all(workdir());
    Arguments a = small({"--epochs", "100000", "--log-interval", "1", "--config.amp=none"});
    const auto flag = std::find(a.begin(), a.end(), "--threads");
    a.erase(flag, flag + 2);
    a.insert(a.end(), more.begin(), more.end());
    const pid_t child = start(a);
    EXPECT_TRUE(appears(workdir() / "log.jsonl", "\"train\"", child)) << read_text(log_file());
    const auto count = std::distance(fs::directory_iterator(fmt::format("/proc/{}/task", child)),
                                     fs::directory_iterator());
    kill(child, SIGTERM);
    wait(child);
    return static_cast<int>(count);
  }
};

TEST_F(ThreadsTest, AreAsManyAsTheProcessMayUse) {
  const int one = threads({"--threads", "1"});
  EXPECT_GT(threads({"--threads", "3"}), one);
  ASSERT_EQ(setenv("OMP_NUM_THREADS", "1", 1), 0);
  EXPECT_EQ(threads({}), one);
  unsetenv("OMP_NUM_THREADS");
  cpu_set_t before, single;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&single);
  for (int cpu = 0; CPU_COUNT(&single) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &single);
  ASSERT_EQ(sched_setaffinity(0, sizeof single, &single), 0);
  EXPECT_EQ(threads({}), one);
  sched_setaffinity(0, sizeof before, &before);
}

// One script for the first start and for all that follow.
TEST_F(TrainCommandTest, ResumeAutoStartsAndGoesOn) {
  const Arguments script = small({"--recipe", "timm", "--resume", "auto"});
  const Finished first = run(script);
  ASSERT_EQ(first.code, 0) << first.text;
  EXPECT_THAT(first.text, HasSubstr("over \"timm\""));
  const Finished second = run(script);
  EXPECT_EQ(second.code, 0) << second.text;
  EXPECT_THAT(second.text, HasSubstr("this run is finished"));
  EXPECT_THAT(second.text, HasSubstr("--recipe timm is not read"));
  const Finished longer = run(small({"--recipe", "timm", "--resume=auto", "--epochs", "4"}));
  EXPECT_EQ(longer.code, 0) << longer.text;
  EXPECT_THAT(longer.text, HasSubstr("going on after step 12 of 16"));
}

// Killed before its first checkpoint, a run that starts from weights has nothing to go on from.
TEST_F(TrainCommandTest, ResumeAutoBeginsAnewWithoutACheckpoint) {
  ASSERT_EQ(run(small()).code, 0);
  const std::string weights = (root_ / "weights").string();
  fs::copy(workdir() / "best/", weights, fs::copy_options::recursive);
  fs::remove_all(workdir() / "checkpoints");
  const Finished done = run(small({"--resume", "auto", "--initial-checkpoint", weights}));
  EXPECT_EQ(done.code, 0) << done.text;
  const Finished nowhere = run({"train", data().string(), "--resume", "auto"});
  EXPECT_EQ(nowhere.code, 2) << nowhere.text;
  EXPECT_THAT(nowhere.text, HasSubstr("--workdir DIR --resume auto"));
}

TEST_F(TrainCommandTest, APlaceThatCannotHoldTheRunIsAnErrorBeforeTheWork) {
  write_file(root_ / "file", std::string_view("kept"));
  for (const char* place : {"file", "file/run", "/dev/null", "/proc/run"}) {
    const Finished done = run({"train", "absent", "--workdir", place});
    EXPECT_EQ(done.code, 1) << done.text;
    EXPECT_THAT(done.text, HasSubstr(fmt::format("cannot write")));
    EXPECT_THAT(done.text, HasSubstr(place));
  }
  EXPECT_EQ(read_text(root_ / "file"), "kept");
}

TEST_F(TrainCommandTest, ASlashBehindTheFolderIsNotShown) {
  const Finished done = run(small({"--workdir", workdir().string() + "/", "--epochs", "2"}));
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("the model: " + workdir().string() + "/best\n"));
  EXPECT_THAT(done.text, HasSubstr("run folder     " + workdir().string() + "\n"));
}

TEST_F(TrainCommandTest, DefaultWorkdirIsNamedByTimeModelAndSize) {
  Arguments a = small();
  a.erase(std::find(a.begin(), a.end(), "--workdir"),
          std::find(a.begin(), a.end(), "--workdir") + 2);
  ASSERT_EQ(run(a).code, 0);
  int found = 0;
  for (const auto& entry : fs::directory_iterator(root_ / "output/train")) {
    EXPECT_THAT(entry.path().filename().string(),
                ::testing::MatchesRegex("[0-9]+-[0-9]+-nest_tiny_s196_224-16"));
    ++found;
  }
  EXPECT_EQ(found, 1);
}

TEST_F(TrainCommandTest, MistakesOfTheCommandLineExitWith2) {
  const auto expect = [&](const Arguments& more, const std::string& word) {
    const Finished done = run(small(more));
    EXPECT_EQ(done.code, 2) << done.text;
    EXPECT_THAT(done.text, HasSubstr(word));
    EXPECT_FALSE(fs::exists(workdir())) << "nothing written";
  };
  expect({"--batchsize", "3"}, "did you mean --batch-size");
  expect({"--config.num_epoch=3"}, "did you mean \"num_epochs\"");
  expect({"--epochs", "many"}, "whole number");
  expect({"--config.nest.patch_size=5"}, "patch_size");
  expect({"--opt", "lion"}, "adamw");
  expect({"--config.mix.smoothing=1.5"}, "mix.smoothing");
  expect({"--num-classes", "1"}, "2 classes");
  for (const char* device : {"tpu", "cuda:", "cuda:x", "cuda:-1", "cuda:100", ""})
    expect({"--device", device}, "no such device");
  expect({"--amp", "--amp-dtype", "tf32"}, "tf32 needs a GPU");
  expect({"--dist-backend", "mpi"}, "auto, nccl or gloo");
  expect({"--nproc", "2", "--dist-backend", "mpi"}, "auto, nccl or gloo");
  expect({"--dist-backend", "nccl"}, "needs GPUs");
  expect({"--cuda-graph"}, "the device is cpu");
  expect({"--data-dir", "elsewhere"}, "two data folders");
  EXPECT_EQ(run({"train"}).code, 2);
  EXPECT_EQ(run({"train", "--resume"}).code, 2);
}

TEST_F(TrainCommandTest, TroubleWithFilesExitsWith1) {
  Finished done = run({"train", (root_ / "nowhere").string(), "--workdir", workdir().string()});
  EXPECT_EQ(done.code, 1) << done.text;
  EXPECT_THAT(done.text, HasSubstr("nowhere"));
  done = run({"train", data().string(), "--resume", "--workdir", workdir().string()});
  EXPECT_EQ(done.code, 1) << done.text;
  EXPECT_THAT(done.text, HasSubstr("no run to resume"));
  fs::remove_all(data() / "dark");
  done = run(small());
  EXPECT_EQ(done.code, 1) << done.text;
  EXPECT_THAT(done.text, HasSubstr("class"));
}

// Never the CPU instead.
TEST_F(TrainCommandTest, MissingCudaLibraryIsAnError) {
  ASSERT_EQ(setenv("NESTVIT_TORCH_LIB", root_.c_str(), 1), 0);
  const Finished done = run(small({"--device", "cuda"}));
  unsetenv("NESTVIT_TORCH_LIB");
  EXPECT_EQ(done.code, 1) << done.text;
  EXPECT_THAT(done.text, HasSubstr((root_ / "libtorch_cuda.so").string()));
  EXPECT_THAT(done.text, HasSubstr("pip install torch=="));
  EXPECT_FALSE(fs::exists(workdir())) << "nothing written";
}

TEST_F(TrainCommandTest, BrokenImageIsNamedOrSkipped) {
  fs::resize_file(data() / "dark/3.png", 40);
  const Finished stopped = run(small({"--val-share", "0.1"}));
  EXPECT_EQ(stopped.code, 1) << stopped.text;
  EXPECT_THAT(stopped.text, HasSubstr("3.png"));
  fs::remove_all(workdir());
  const Finished skipped = run(small({"--on-bad-image", "skip", "--val-share", "0.1"}));
  EXPECT_EQ(skipped.code, 0) << skipped.text;
  EXPECT_THAT(read_text(workdir() / "log.jsonl"), HasSubstr("3.png"));
}

TEST_F(TrainCommandTest, OfficialConfigIsInForce) {
  const Finished done = run({"train",
                             data().string(),
                             "--config",
                             std::string(NESTVIT_SOURCE_DIR) + "/configs/imagenet_nest_tiny.yaml",
                             "--workdir",
                             workdir().string(),
                             "--config.nest.patch_size=2",
                             "--img-size",
                             "32",
                             "-b",
                             "8",
                             "--config.nest.num_layers_per_block=[1,1,1]",
                             "--epochs",
                             "1",
                             "--warmup-epochs",
                             "0",
                             "--config.nest.embedding_dim=6",
                             "--noconfig.nest.qkv_bias",
                             "--exp_id",
                             "first"});
  ASSERT_EQ(done.code, 0) << done.text;
  EXPECT_THAT(done.text, HasSubstr("augmentation   RandAugment"));
  EXPECT_FALSE(load_model(workdir() / "first/last").config.qkv_bias);
}

TEST_F(TrainCommandTest, TimmsRecipeAndFlagsAreAnnounced) {
  const Finished done = run(small({"--recipe",
                                   "timm",
                                   "--grad-accum-steps",
                                   "2",
                                   "-b",
                                   "3",
                                   "--amp",
                                   "--reprob",
                                   "0.5",
                                   "--recount",
                                   "2",
                                   "--model-ema-decay",
                                   "0.9",
                                   "--opt-betas",
                                   "0.9,0.95",
                                   "--warmup-lr",
                                   "1e-5",
                                   "--patience",
                                   "7",
                                   "--sampler",
                                   "balanced",
                                   "--grad-checkpointing",
                                   "--mixup-switch-prob",
                                   "0.25",
                                   "--config.log_model_profile=1",
                                   "--config.train_transform=rrc"}));
  ASSERT_EQ(done.code, 0) << done.text;
  for (const char* word :
       {"over \"timm\"", "timm's RandAugment: 2 of 15 operations that grow with the level",
        "random erasing with probability 0.5", "in up to 2 boxes", "in 0.25 of them",
        "in timm's way", "betas 0.9 and 0.95", "batches of 2 (accumulated) x 3 = 6 images",
        "from 1e-05 in", "sampler        balanced", "after 7 evaluations", "precision      bf16",
        "computed again", "EMA            decay 0.9 ", "timm's random crop",
        "profile        level 0", "Profile results"})
    EXPECT_THAT(done.text, HasSubstr(word));
  const Finished again = run({"train", "--resume", workdir().string(), "--recipe", "timm"});
  EXPECT_EQ(again.code, 2) << again.text;
}

// Nobody asked for a warm-up: it fits into whatever is asked for.
TEST_F(TrainCommandTest, OneEpochIsEnough) {
  const Finished done = run({"train", data().string(), "--workdir", workdir().string(),
                             "--img-size", "16", "--epochs", "1"});
  EXPECT_EQ(done.code, 0) << done.text;
}

TEST_F(TrainCommandTest, HelpNamesEveryFlagAndExamples) {
  const Finished help = run({"train", "--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* word : {"--workdir", "--resume", "--epochs", "--batch-size", "--lr-base",
                           "--on-bad-image", "--config.KEY=VALUE", "nestvit train photos"})
    EXPECT_THAT(help.text, HasSubstr(word));
}

}  // namespace
}  // namespace nestvit

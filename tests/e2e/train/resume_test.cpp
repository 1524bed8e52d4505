// A run that is killed, cut short by the disk, or started twice ends as the undisturbed run.
// tests/soak does the same for longer.
#include <sys/resource.h>

#include "e2e/train/resume_cli_test.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;

TEST_F(ResumeTest, TenKillsLeaveNoTrace) {
  kill_and_resume({.kills = 10, .seed = 1});
  expect_same_as_whole();
}

// A file size limit stands for the full disk: a write fails in the middle of a file.
TEST_F(ResumeTest, FullDiskIsAnErrorAndTheRunGoesOnWhenThereIsSpace) {
  const pid_t first = start(endless());
  ASSERT_TRUE(appears(workdir() / "log.jsonl", "\"checkpoint\"", first)) << read_text(log_file());
  kill(first, SIGTERM);
  ASSERT_EQ(wait(first).code, 128 + SIGTERM);
  const std::vector<int64_t> saved = checkpoints();
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tight{fs::file_size(workdir() / "last/model.safetensors") - 1, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &tight);
  const pid_t child = start(resumed(1));
  setrlimit(RLIMIT_FSIZE, &before);
  const Finished full = wait(child);
  EXPECT_EQ(full.code, 1) << full.text;
  EXPECT_THAT(full.text, HasSubstr("model.safetensors"));
  EXPECT_THAT(full.text, HasSubstr("File too large"));
  EXPECT_THAT(full.text, HasSubstr(fmt::format("{} bytes", tight.rlim_cur)));
  EXPECT_THAT(full.text, HasSubstr("--resume"));
  EXPECT_EQ(checkpoints(), saved);
  EXPECT_NO_THROW(load_model(workdir() / "last"));
  expect_same_as_whole();
}

// FAT, network shares, drives of clouds.
TEST_F(ResumeTest, AFileSystemWithoutLinksLocksAndMapsHoldsARun) {
  const std::string poor = (root_ / "poor/run").string();
  fs::create_directories(root_ / "poor");
  const auto done = [this](const Arguments& arguments) {
    setenv("LD_PRELOAD", POOR_FILE_SYSTEM, 1);
    const pid_t child = start(arguments, "nestvit");
    unsetenv("LD_PRELOAD");
    return wait(child);
  };
  const Finished first = done(small({"--workdir", poor, "--epochs", "2"}));
  ASSERT_EQ(first.code, 0) << first.text;
  for (const char* name : {"best", "last"}) {
    EXPECT_TRUE(fs::is_regular_file(fs::path(poor) / name));
    EXPECT_THAT(first.text, HasSubstr(poor + "/" + name + " is a text file"));
  }
  const Finished more = done({"train", "--resume", poor, "--epochs", "4", "--threads", "1"});
  ASSERT_EQ(more.code, 0) << more.text;
  EXPECT_THAT(more.text, HasSubstr("going on after step"));
  EXPECT_EQ(lines(fs::path(poor) / "summary.csv"), 1 + 4);
  EXPECT_THAT(read_text(fs::path(poor) / "last"), HasSubstr("checkpoints/step-"));
  for (const char* name : {"best", "last"}) {
    const std::string model = poor + "/" + name;
    EXPECT_EQ(done({"eval", "--model", model, "--data-dir", data().string()}).code, 0);
    EXPECT_EQ(done({"predict", "--model", model, (data() / "dark/1.png").string()}).code, 0);
    EXPECT_EQ(done({"inspect", model}).code, 0);
  }
  EXPECT_EQ(done(command({"--workdir", workdir().string(), "--epochs", "1", "--initial-checkpoint",
                          poor + "/best"}))
                .code,
            0);
  EXPECT_THAT(done({"predict", "--model", poor, "x.png"}).text, HasSubstr(poor + "/best"));
  for (const auto& entry : fs::recursive_directory_iterator(poor))
    EXPECT_THAT(entry.path().filename().string(), ::testing::Not(HasSubstr("tmp")));

  // The same folder on a file system with links, as after a copy.
  EXPECT_EQ(run({"train", "--resume", poor, "--epochs", "5", "--threads", "1"}).code, 0);
  EXPECT_TRUE(fs::is_symlink(fs::path(poor) / "last"));
}

TEST_F(ResumeTest, ARunInUseIsLeftAlone) {
  const pid_t child = start(endless());
  ASSERT_TRUE(appears(workdir() / "log.jsonl", "\"checkpoint\"", child)) << read_text(log_file());
  const std::string command =
      fmt::format("'{}/nestvit-train' train --resume '{}' >'{}/second.txt' 2>&1", NESTVIT_BIN_DIR,
                  workdir().string(), root_.string());
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(read_text(root_ / "second.txt"), HasSubstr("another process"));
  kill(child, SIGUSR1);
  EXPECT_EQ(wait(child).code, 128 + SIGUSR1);
  EXPECT_NO_THROW(load_model(workdir() / "last"));
}

}  // namespace
}  // namespace nestvit

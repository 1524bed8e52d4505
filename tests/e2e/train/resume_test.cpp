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

// A hundred kills: too long for every build; CONTRIBUTING.md says when to run it.
#include "e2e/train/resume_cli_test.h"

namespace nestvit {
namespace {

// NESTVIT_SOAK_KILLS and NESTVIT_SOAK_SEED choose others.
uint64_t setting(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value ? std::stoull(value) : otherwise;
}

TEST_F(ResumeTest, ManySignalsWorkersAndDamagedCheckpointsLeaveNoTrace) {
  kill_and_resume({.kills = static_cast<int>(setting("NESTVIT_SOAK_KILLS", 100)),
                   .seed = setting("NESTVIT_SOAK_SEED", 1),
                   .signals = {SIGKILL, SIGKILL, SIGTERM, SIGUSR1},
                   .most_workers = 3,
                   .damage_percent = 20});
  std::printf("[          ] %d newest checkpoints were damaged\n", damaged_);
  expect_same_as_whole();
}

}  // namespace
}  // namespace nestvit

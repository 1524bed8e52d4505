// Checkpoints: what is written, what stays, what a crash or a full disk leaves behind.
#include "run/record/checkpoint.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>
#include <set>

#include "base/file.h"
#include "support/run_state.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CheckpointsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(workdir_);
    model_.config.image_size = 8;
    model_.config.patch_size = 4;
    model_.config.num_layers_per_block = {1, 1};
    model_.config.embedding_dim = 8;
    model_.config.num_heads = 2;
    model_.config.num_classes = 2;
    model_.preprocessing.image_size = 8;
    model_.labels = {"cat", "dog"};
    model_.tensors = initial_tensors(model_.config, 1);
  }

  TensorMap moments(float value) const {
    return {{"head.weight.exp_avg", Tensor::f32({2}, {value, -value})}};
  }
  std::set<std::string> folders() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(workdir_ / "checkpoints"))
      names.insert(entry.path().filename());
    return names;
  }

  const testing::TempDir folder_;
  const fs::path workdir_ = folder_ / "run";
  LoadedModel model_;
};

TEST_F(CheckpointsTest, LastIsAModelDirectoryAndReadsBack) {
  const Checkpoints checkpoints(workdir_, 3);
  EXPECT_FALSE(checkpoints.any());
  EXPECT_THROW(checkpoints.load_last(), Error);
  checkpoints.save(run_state(3, 3), model_, moments(0.25F));
  EXPECT_TRUE(checkpoints.any());
  const Checkpoints::Saved saved = checkpoints.load_last();
  EXPECT_EQ(saved.state, run_state(3, 3));
  EXPECT_EQ(saved.model.config, model_.config);
  EXPECT_EQ(saved.model.labels, model_.labels);
  EXPECT_EQ(saved.optimizer.at("head.weight.exp_avg").to_f32(),
            (std::vector<float>{0.25F, -0.25F}));
  for (const auto& [name, tensor] : load_model(workdir_ / "best").tensors)
    EXPECT_EQ(tensor.to_f32(), model_.tensors.at(name).to_f32()) << name;
}

TEST_F(CheckpointsTest, LinksAreRelativeSoThatTheFolderCanMove) {
  Checkpoints(workdir_, 3).save(run_state(3, 3), model_, {});
  EXPECT_EQ(fs::read_symlink(workdir_ / "last"), "checkpoints/step-3");
  const fs::path moved = workdir_.string() + "_moved";
  fs::remove_all(moved);
  fs::rename(workdir_, moved);
  EXPECT_EQ(Checkpoints(moved, 3).load_last().state.step, 3);
  fs::remove_all(moved);
}

TEST_F(CheckpointsTest, KeepsTheNewestAndTheBest) {
  const Checkpoints checkpoints(workdir_, 3);
  for (int64_t step = 1; step <= 12; ++step)
    checkpoints.save(run_state(step, std::min<int64_t>(step, 2)), model_, {});
  EXPECT_EQ(folders(), (std::set<std::string>{"step-2", "step-10", "step-11", "step-12"}));
  EXPECT_EQ(fs::read_symlink(workdir_ / "last"), "checkpoints/step-12");
  EXPECT_EQ(fs::read_symlink(workdir_ / "best"), "checkpoints/step-2");
  Checkpoints(workdir_, 1).save(run_state(13, 2), model_, {});
  EXPECT_EQ(folders(), (std::set<std::string>{"step-2", "step-13"}));
}

TEST_F(CheckpointsTest, ASecondSaveOfAStepReplacesIt) {
  const Checkpoints checkpoints(workdir_, 3);
  checkpoints.save(run_state(3, -1), model_, moments(1));
  checkpoints.save(run_state(3, -1), model_, moments(2));
  EXPECT_EQ(checkpoints.load_last().optimizer.at("head.weight.exp_avg").to_f32()[0], 2);
  EXPECT_EQ(folders(), (std::set<std::string>{"step-3"}));
}

// A file size limit stands for the full disk: the write fails in the middle of a file.
TEST_F(CheckpointsTest, FullDiskLeavesThePreviousCheckpoint) {
  const Checkpoints checkpoints(workdir_, 1);
  checkpoints.save(run_state(3, 3), model_, moments(1));
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{2000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &tight);
  EXPECT_THROW(checkpoints.save(run_state(4, 4), model_, moments(2)), Error);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(folders(), (std::set<std::string>{"step-3"})) << "nothing half written stays";
  EXPECT_EQ(checkpoints.load_last().state.step, 3);
  EXPECT_NO_THROW(load_model(workdir_ / "best"));
}

TEST_F(CheckpointsTest, SweepsWhatACrashLeft) {
  const Checkpoints checkpoints(workdir_, 3);
  checkpoints.save(run_state(3, 3), model_, {});
  fs::create_directories(workdir_ / "checkpoints/.step-4.tmp-1-0");
  fs::create_directories(workdir_ / "checkpoints/.removed-step-1");
  write_file(workdir_ / "checkpoints/.removed-step-1/config.json", "{");
  EXPECT_EQ(checkpoints.load_last().state.step, 3);
  checkpoints.resume_from(run_state(3, 3));
  EXPECT_EQ(folders(), (std::set<std::string>{"step-3"}));
}

// Every way in which a power cut or a bad disk damages a file.
TEST_F(CheckpointsTest, DamagedCheckpointGivesWayToTheOneBefore) {
  const Checkpoints checkpoints(workdir_, 3);
  checkpoints.save(run_state(3, 3), model_, moments(1));
  checkpoints.save(run_state(4, 3), model_, moments(2));
  for (const char* file : {"state.json", "optimizer.safetensors", "model.safetensors",
                           "config.json", "checksums.json"}) {
    const fs::path path = workdir_ / "checkpoints/step-4" / file;
    const std::string text = read_text(path);
    std::string zeroed = text;
    std::fill(zeroed.begin() + std::ssize(text) / 2, zeroed.end() - 8, '\0');
    const std::vector<std::function<void()>> damages = {
        [&] { fs::remove(path); }, [&] { fs::resize_file(path, text.size() / 2); },
        [&] { fs::resize_file(path, 0); }, [&] { write_file(path, zeroed); }};
    for (size_t i = 0; i < damages.size(); ++i) {
      SCOPED_TRACE(::testing::Message() << file << ", damage " << i);
      damages[i]();
      ::testing::internal::CaptureStderr();
      EXPECT_EQ(checkpoints.load_last().state.step, 3);
      const std::string said = ::testing::internal::GetCapturedStderr();
      EXPECT_THAT(said, HasSubstr("step-4"));
      EXPECT_THAT(said, HasSubstr(file));
      EXPECT_THAT(said, HasSubstr("step-3"));
      write_file(path, text);
    }
  }
  EXPECT_EQ(checkpoints.load_last().state.step, 4);
}

TEST_F(CheckpointsTest, NoneThatIsWholeIsAnErrorThatNamesAll) {
  const Checkpoints checkpoints(workdir_, 3);
  for (const int64_t step : {3, 4}) {
    checkpoints.save(run_state(step, 3), model_, {});
    fs::remove(workdir_ / fmt::format("checkpoints/step-{}/state.json", step));
  }
  try {
    checkpoints.load_last();
    FAIL() << "found something";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("step-3"));
    EXPECT_THAT(e.what(), HasSubstr("step-4"));
  }
}

TEST_F(CheckpointsTest, GoingOnSetsNewerOnesAsideAndMendsTheLinks) {
  const Checkpoints checkpoints(workdir_, 2);
  checkpoints.save(run_state(3, 3), model_, {});
  checkpoints.save(run_state(4, 4), model_, {});
  fs::remove(workdir_ / "last");
  checkpoints.resume_from(run_state(3, 3));
  EXPECT_EQ(folders(), (std::set<std::string>{"step-3", "step-4.damaged"}));
  EXPECT_EQ(fs::read_symlink(workdir_ / "last"), "checkpoints/step-3");
  EXPECT_EQ(fs::read_symlink(workdir_ / "best"), "checkpoints/step-3");
  checkpoints.save(run_state(4, 4), model_, {});
  EXPECT_EQ(folders(), (std::set<std::string>{"step-3", "step-4", "step-4.damaged"}));
}

}  // namespace
}  // namespace nestvit

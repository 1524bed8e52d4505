// A test of nestvit train: a folder of generated images, and running the program on it.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "image/codecs/codec.h"
#include "support/temp_dir.h"
#include "weights/model_dir.h"

namespace nestvit {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

constexpr auto kPatience = std::chrono::seconds(120);  // for a first step on a busy machine

struct Finished {
  int code = -1;
  std::string text;  // stdout and stderr
};

class TrainCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* label : {"bright", "dark"})
      for (int i = 0; i < 20; ++i) write_image(label, i);
  }

  void write_image(const std::string& label, int number) const {
    Rng rng(3, Purpose::kTest, label == "dark" ? 0 : 1, static_cast<uint64_t>(number));
    Image image{16, 16, 3, std::vector<uint8_t>(16 * 16 * 3)};
    for (uint8_t& p : image.pixels)
      p = static_cast<uint8_t>(rng.below(100) + (label == "dark" ? 0 : 150));
    fs::create_directories(data() / label);
    write_png(data() / label / fmt::format("{}.png", number), image);
  }
  fs::path data() const { return root_ / "data"; }
  fs::path workdir() const { return root_ / "run"; }
  std::string log_file() const { return (root_ / "output.txt").string(); }

  // Flags of any run here.
  Arguments command(Arguments more = {}) const {
    Arguments a = {"train",     data().string(),
                   "--workdir", workdir().string(),
                   "--threads", "1",
                   "--workers", "1",
                   "-b",        "8"};
    a.insert(a.end(), more.begin(), more.end());
    return a;
  }
  // Flags that make a run of a second or so.
  Arguments small(Arguments more = {}) const {
    Arguments a = command({"--epochs", "3", "--warmup-epochs", "1", "--img-size", "16",
                           "--config.nest.num_layers_per_block=[1,1]",
                           "--config.nest.init_patch_embed_size=2", "--config.nest.patch_size=4",
                           "--config.nest.embedding_dim=16", "--config.nest.num_heads=2",
                           "--config.train_transform=flip", "--config.preprocessing.crop_pct=1"});
    a.insert(a.end(), more.begin(), more.end());
    return a;
  }

  pid_t start(const Arguments& arguments, const std::string& program = "nestvit-train") const {
    const std::string path = (fs::path(NESTVIT_BIN_DIR) / program).string();
    // Here, not in the child: it must not cut what the caller is reading already.
    const int out = open(log_file().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const pid_t child = fork();
    if (child == 0) {
      dup2(out, STDOUT_FILENO);
      dup2(out, STDERR_FILENO);
      if (chdir(root_.c_str()) != 0) _exit(126);
      std::vector<char*> argv = {const_cast<char*>(path.c_str())};
      for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
      argv.push_back(nullptr);
      execv(path.c_str(), argv.data());
      _exit(127);
    }
    close(out);
    return child;
  }
  Finished wait(pid_t child) const {
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read_text(log_file())};
  }
  Finished run(const Arguments& arguments, const std::string& program = "nestvit-train") const {
    return wait(start(arguments, program));
  }
  // Whether `path` comes to hold `word` while `child` runs.
  bool appears(const fs::path& path, const std::string& word, pid_t child) const {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      if (fs::exists(path) && read_text(path).find(word) != std::string::npos) return true;
      siginfo_t ended{};
      if (waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          ended.si_pid == child)
        return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    kill(child, SIGKILL);
    return false;
  }
  static int lines(const fs::path& path) {
    const std::string text = read_text(path);
    return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }

  const testing::TempDir folder_;
  const fs::path root_ = folder_.path();
};

}  // namespace nestvit

// Runs of the real program that are killed at random moments and resumed, and the comparison of
// what they leave with what an undisturbed run leaves: every bit but times.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "support/event_reader.h"
#include "support/train_cli_test.h"

namespace nestvit {

struct KillPlan {
  int kills = 0;
  uint64_t seed = 0;
  std::vector<int> signals = {SIGKILL};
  int most_workers = 1;
  int damage_percent = 0;  // how often the newest checkpoint is damaged while nobody runs
};

class ResumeTest : public TrainCommandTest {
 protected:
  static constexpr int kSaveEvery = 2, kStepsPerEpoch = 4;

  fs::path whole() const { return root_ / "whole"; }

  // Everything draws: augmentation, mixing, drop-path, dropout; the weights have an average. The
  // learning rate is constant after warm-up, so that the run's length can be chosen when the kills
  // are over; lines of the log (every 3 steps), checkpoints (2) and epochs (4) straddle one
  // another.
  Arguments endless(Arguments more = {}) const {
    Arguments a = small({"--epochs",
                         "1000000",
                         "--warmup-epochs",
                         "1",
                         "--sched",
                         "constant",
                         "--log-interval",
                         "3",
                         "--drop-path",
                         "0.2",
                         "--checkpoint-hist",
                         "3",
                         "--config.nest.proj_drop=0.1",
                         "--config.augment.type=randaugment",
                         "--config.randerasing.erase_prob=0.5",
                         "--config.mix.mixup_alpha=0.8",
                         "-b",
                         "4",
                         "--config.grad_accum_steps=2",
                         "--config.model_ema=true",
                         fmt::format("--config.checkpoint_every_steps={}", kSaveEvery)});
    a.insert(a.end(), more.begin(), more.end());
    return a;
  }
  Arguments resumed(int workers, Arguments more = {}) const {
    Arguments a = {"train", "--resume",  workdir().string(),     "--threads",
                   "1",     "--workers", std::to_string(workers)};
    a.insert(a.end(), more.begin(), more.end());
    return a;
  }
  std::vector<int64_t> checkpoints() const {
    std::vector<int64_t> steps;
    std::error_code error;
    for (fs::directory_iterator it(workdir() / "checkpoints", error), end; !error && it != end;
         it.increment(error)) {
      const std::string name = it->path().filename().string();
      if (name.starts_with("step-") && name.find('.') == std::string::npos)
        steps.push_back(std::stoll(name.substr(5)));
    }
    std::sort(steps.begin(), steps.end());
    return steps;
  }

  // Kills and resumes as planned; the run's folder is then that of a run with nobody in it.
  void kill_and_resume(const KillPlan& plan) {
    Rng rng(plan.seed, Purpose::kTest, 0, 0);
    const auto up_to = [&rng](int most) {
      return static_cast<int>(rng.below(static_cast<uint64_t>(most) + 1));
    };
    for (int n = 0; n < plan.kills; ++n) {
      SCOPED_TRACE(::testing::Message() << "kill " << n);
      const bool fresh = !fs::exists(workdir() / "config.yaml");
      const pid_t child = start(fresh ? endless() : resumed(1 + up_to(plan.most_workers - 1)));
      const auto begin = std::chrono::steady_clock::now();
      // A third while it starts; the others within a few steps, checkpoints and evaluations.
      if (n % 3 != 0) await_steps(1 + up_to(12), child);
      const int patience = n % 3 == 0 ? startup_ms_ + 50 : 30;
      std::this_thread::sleep_for(std::chrono::milliseconds(up_to(patience)));
      const int signal = plan.signals[rng.below(plan.signals.size())];
      kill(child, signal);
      const Finished ended = wait(child);
      // Before it listens, a signal ends it as the system does.
      ASSERT_TRUE(ended.code == -signal || (signal != SIGKILL && ended.code == 128 + signal))
          << ended.code << ended.text;
      if (n % 3 != 0 && !startup_known_) note_startup(begin);
      if (rng.below(100) < static_cast<uint64_t>(plan.damage_percent)) damage_newest(rng);
    }
  }

  // The run goes on to the end of the epoch after the last; another does the same undisturbed.
  void expect_same_as_whole() {
    const int64_t last = checkpoints().empty() ? 0 : checkpoints().back();
    const std::string epochs = std::to_string(last / kStepsPerEpoch + 2);
    const Finished resumed_run = run(resumed(1, {"--epochs", epochs}));
    ASSERT_EQ(resumed_run.code, 0) << resumed_run.text;
    const Finished whole_run = run(endless(
        {"--workdir", whole().string(), "--epochs", epochs, "--config.checkpoint_every_steps=-1"}));
    ASSERT_EQ(whole_run.code, 0) << whole_run.text;
    expect_same_files();
    std::printf("[          ] %s epochs, the same bits\n", epochs.c_str());
  }

  void expect_same_files() const {
    for (const char* file :
         {"model.safetensors", "optimizer.safetensors", "state.json", "config.json"})
      EXPECT_EQ(read_text(workdir() / "last" / file), read_text(whole() / "last" / file)) << file;
    EXPECT_EQ(read_text(workdir() / "summary.csv"), read_text(whole() / "summary.csv"));
    EXPECT_EQ(read_text(workdir() / "best/model.safetensors"),
              read_text(whole() / "best/model.safetensors"));
    EXPECT_EQ(logged(workdir()), logged(whole()));
    EXPECT_EQ(shown(workdir()), shown(whole()));
    EXPECT_GT(shown(whole()).size(), 0U);
    std::set<std::string> kept;
    for (const auto& entry : fs::directory_iterator(workdir() / "checkpoints"))
      if (entry.path().extension() != ".damaged") kept.insert(entry.path().filename());
    EXPECT_LE(kept.size(), 4U) << "the three newest and the best";
    for (const std::string& name : kept) EXPECT_THAT(name, ::testing::StartsWith("step-"));
  }

 private:
  // What was measured, in its order: every "train" and "eval" line, without its times.
  static std::vector<std::string> logged(const fs::path& folder) {
    std::vector<std::string> lines;
    std::istringstream log(read_text(folder / "log.jsonl"));
    for (std::string text; std::getline(log, text);) {
      auto line = nlohmann::ordered_json::parse(text);
      if (line.at("event") != "train" && line.at("event") != "eval") continue;
      for (const char* time : {"time", "images_per_s", "data_wait"}) line.erase(time);
      lines.push_back(line.dump());
    }
    return lines;
  }

  // An evaluation that was done twice shows the same point twice.
  static std::set<std::tuple<int64_t, std::string, float>> shown(const fs::path& folder) {
    std::set<std::tuple<int64_t, std::string, float>> values;
    for (const Scalar& scalar : shown_scalars(folder))
      if (!scalar.tag.starts_with("perf/")) values.emplace(scalar.step, scalar.tag, scalar.value);
    return values;
  }

  int64_t logged_step() const {
    int64_t step = -1;
    if (!fs::exists(workdir() / "log.jsonl")) return step;
    std::istringstream log(read_text(workdir() / "log.jsonl"));
    for (std::string text; std::getline(log, text);) {
      const auto line = nlohmann::json::parse(text, nullptr, false);
      if (line.is_object() && line.value("event", "") != "checkpoint")
        step = std::max(step, line.value("step", int64_t{-1}));
    }
    return step;
  }

  // Until the run logged `steps` more than it had.
  void await_steps(int steps, pid_t child) const {
    const int64_t goal = std::max<int64_t>(0, logged_step()) + steps;
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (logged_step() < goal && std::chrono::steady_clock::now() < end) {
      siginfo_t ended{};
      if (waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          ended.si_pid == child)
        return;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  void note_startup(std::chrono::steady_clock::time_point begin) {
    startup_known_ = true;
    startup_ms_ = static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                       std::chrono::steady_clock::now() - begin)
                                       .count());
  }

  // As a power cut or a bad disk does: a file is cut, is zeros in part, or is gone. One checkpoint
  // stays whole.
  void damage_newest(Rng& rng) {
    const std::vector<int64_t> steps = checkpoints();
    if (steps.size() < 2) return;
    const fs::path folder = workdir() / "checkpoints" / fmt::format("step-{}", steps.back());
    const std::vector<const char*> files = {"model.safetensors", "optimizer.safetensors",
                                            "state.json", "config.json", "checksums.json"};
    const fs::path file = folder / files[rng.below(files.size())];
    std::string text = read_text(file);
    switch (rng.below(3)) {
      case 0:
        fs::remove(file);
        break;
      case 1:
        fs::resize_file(file, rng.below(text.size()));
        break;
      default:
        std::fill(text.begin() + static_cast<std::ptrdiff_t>(text.size() / 3),
                  text.begin() + static_cast<std::ptrdiff_t>(text.size() / 2), '\0');
        write_file(file, text);
    }
    ++damaged_;
  }

 protected:
  int damaged_ = 0;

 private:
  int startup_ms_ = 1000;
  bool startup_known_ = false;
};

}  // namespace nestvit

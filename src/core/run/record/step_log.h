// What a run says about its steps: lines of log.jsonl, and the progress bar.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/log.h"
#include "report/page.h"
#include "run/recipe/plan.h"
#include "run/recipe/recipe.h"
#include "run/record/log.h"

namespace nestvit {

class StepLog {
 public:
  static constexpr size_t kMaxCurve = 4096;

  // `first_step`: steps that were done before. `window`: the sums for the next line of log.jsonl,
  // which checkpoints keep. `curve`: of the lines written before.
  StepLog(RunLog& log, const Recipe& recipe, const StepPlan& plan, int64_t first_step,
          StepSums& window, std::vector<RunPoint> curve);

  void waited(double seconds);  // for images
  void add(int64_t images, int64_t correct, double loss, double gradient_norm);
  // After each step: a line when one is due, and the bar. `last`: of an epoch or evaluation.
  void step_done(int64_t step, float learning_rate, bool last);
  void close_bar() { progress_.reset(); }
  // Seconds since the last call; starts the next interval.
  double end_interval();
  // Speed and learning rate over the run, at most kMaxCurve points.
  const std::vector<RunPoint>& curve() const { return curve_; }

 private:
  using Clock = std::chrono::steady_clock;

  // What this process measured; a resumed run's sums reach further back.
  struct Timing {
    int64_t images = 0;
    double wait_s = 0;
    Clock::time_point start = Clock::now();

    double seconds() const {
      return std::max(std::chrono::duration<double>(Clock::now() - start).count(), 1e-9);
    }
    double images_per_s() const { return static_cast<double>(images) / seconds(); }
    double wait_share() const { return wait_s / seconds(); }
  };

  void log(int64_t step, float learning_rate);
  void show(int64_t step, bool last);

  RunLog& log_;
  const Recipe& recipe_;
  StepPlan plan_;
  StepSums& window_;  // for log.jsonl
  Timing window_timing_;
  StepSums epoch_;  // for the bar
  Timing epoch_timing_;
  std::vector<RunPoint> curve_;
  std::optional<Progress> progress_;
  Clock::time_point started_ = Clock::now();
  int64_t first_step_;
};

}  // namespace nestvit

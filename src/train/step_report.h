// What a run says about its steps: lines of log.jsonl, and the progress bar. Free of libtorch.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/log.h"
#include "train/recipe.h"
#include "train/run_log.h"

namespace nestvit::train {

class StepReport {
 public:
  // `first_step`: steps that were done before.
  StepReport(RunLog& log, const Recipe& recipe, const StepPlan& plan, int64_t first_step);

  void waited(double seconds);  // for images
  void add(int64_t images, int64_t correct, double loss, double gradient_norm);
  // After each step: a line when one is due, and the bar. `last`: of an epoch or evaluation.
  void step_done(int64_t step, float learning_rate, bool last);
  void close_bar() { progress_.reset(); }
  // Seconds since the last call; starts the next interval.
  double end_interval();

 private:
  using Clock = std::chrono::steady_clock;

  // Sums over steps (reference.md F.4).
  struct Window {
    int64_t steps = 0, images = 0, correct = 0;
    double loss = 0, loss_squared = 0, gradient_norm = 0, wait_s = 0;
    Clock::time_point start = Clock::now();

    double seconds() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
  };

  void log(int64_t step, float learning_rate);
  void show(int64_t step, bool last);

  RunLog& log_;
  const Recipe& recipe_;
  StepPlan plan_;
  Window window_;  // for log.jsonl
  Window epoch_;   // for the bar
  std::optional<Progress> progress_;
  Clock::time_point started_ = Clock::now();
  int64_t first_step_;
};

}  // namespace nestvit::train

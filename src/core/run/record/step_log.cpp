// Means over a window of steps, and the bar with its forecast.
#include "run/record/step_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace nestvit {

StepLog::StepLog(RunLog& log, const Recipe& recipe, const StepPlan& plan, int64_t first_step,
                 StepSums& window, std::vector<RunPoint> curve)
    : log_(log),
      recipe_(recipe),
      plan_(plan),
      window_(window),
      curve_(std::move(curve)),
      first_step_(first_step) {}

void StepLog::waited(double seconds) {
  window_timing_.wait_s += seconds;
  epoch_timing_.wait_s += seconds;
}

void StepLog::add(int64_t images, int64_t correct, double loss, double gradient_norm) {
  for (StepSums* sums : {&window_, &epoch_}) {
    ++sums->steps;
    sums->images += images;
    sums->correct += correct;
    sums->loss += loss;
    sums->loss_squared += loss * loss;
    sums->gradient_norm += gradient_norm;
  }
  window_timing_.images += images;
  epoch_timing_.images += images;
}

void StepLog::step_done(int64_t step, float learning_rate, bool last) {
  if (step % recipe_.log_loss_every_steps == 0 || step == plan_.total) log(step, learning_rate);
  show(step, last);
}

double StepLog::end_interval() {
  const double seconds = epoch_timing_.seconds();
  epoch_ = {};
  epoch_timing_ = {};
  window_timing_ = {};  // the evaluation in between does not count
  return seconds;
}

void StepLog::log(int64_t step, float learning_rate) {
  const double steps = static_cast<double>(std::max<int64_t>(1, window_.steps));
  const double images = static_cast<double>(std::max<int64_t>(1, window_.images));
  const double loss = window_.loss / steps;
  RunPoint point;
  point.step = step;
  point.epoch = plan_.epoch(step);
  point.learning_rate = static_cast<double>(learning_rate);
  point.images_per_second = window_timing_.images_per_s();
  point.data_wait = 100 * window_timing_.wait_share();
  log_.write("train",
             {{"step", step},
              {"epoch", point.epoch},
              {"loss", loss},
              {"loss_std", std::sqrt(std::max(0.0, window_.loss_squared / steps - loss * loss))},
              {"train_accuracy", static_cast<double>(window_.correct) / images},
              {"l2_grads", window_.gradient_norm / steps},
              {"learning_rate", *point.learning_rate},
              {"images_per_s", *point.images_per_second},
              {"data_wait", *point.data_wait / 100}});
  window_ = {};
  window_timing_ = {};
  if (curve_.size() >= kMaxCurve) {
    size_t kept = 0;
    for (size_t i = 0; i < curve_.size(); i += 2) curve_[kept++] = curve_[i];
    curve_.resize(kept);
  }
  curve_.push_back(point);
}

void StepLog::show(int64_t step, bool last) {
  const int64_t epoch = std::min<int64_t>((step - 1) / plan_.per_epoch, plan_.epochs - 1);
  const int64_t first = epoch * plan_.per_epoch;
  const int64_t steps = epoch + 1 == plan_.epochs ? plan_.total - first : plan_.per_epoch;
  if (!progress_) progress_.emplace(fmt::format("epoch {}/{}", epoch + 1, plan_.epochs), steps);
  if (!progress_->due() && !last) return;
  const double run_s = std::chrono::duration<double>(Clock::now() - started_).count();
  const double left =
      run_s * static_cast<double>(plan_.total - step) / static_cast<double>(step - first_step_);
  const std::string detail =
      fmt::format("loss {:.3f}  {} images/s  data {:.0f} %  run {} left",
                  epoch_.loss / static_cast<double>(std::max<int64_t>(1, epoch_.steps)),
                  human_count(std::llround(epoch_timing_.images_per_s())),
                  100 * epoch_timing_.wait_share(), human_duration(left));
  progress_->update(step - first, detail);
  if (last && stderr_is_terminal()) progress_->finish(detail);
}

}  // namespace nestvit

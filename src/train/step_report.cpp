// Means over a window of steps, and the bar with its forecast.
#include "train/step_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace nestvit::train {

StepReport::StepReport(RunLog& log, const Recipe& recipe, const StepPlan& plan, int64_t first_step)
    : log_(log), recipe_(recipe), plan_(plan), first_step_(first_step) {}

void StepReport::waited(double seconds) {
  window_.wait_s += seconds;
  epoch_.wait_s += seconds;
}

void StepReport::add(int64_t images, int64_t correct, double loss, double gradient_norm) {
  for (Window* window : {&window_, &epoch_}) {
    ++window->steps;
    window->images += images;
    window->correct += correct;
    window->loss += loss;
    window->loss_squared += loss * loss;
    window->gradient_norm += gradient_norm;
  }
}

void StepReport::step_done(int64_t step, float learning_rate, bool last) {
  if (step % recipe_.log_loss_every_steps == 0 || step == plan_.total) log(step, learning_rate);
  show(step, last);
}

double StepReport::end_interval() {
  const double seconds = epoch_.seconds();
  epoch_ = {};
  window_.start = Clock::now();
  return seconds;
}

void StepReport::log(int64_t step, float learning_rate) {
  const double steps = static_cast<double>(std::max<int64_t>(1, window_.steps));
  const double images = static_cast<double>(std::max<int64_t>(1, window_.images));
  const double loss = window_.loss / steps;
  const double seconds = std::max(window_.seconds(), 1e-9);
  log_.write("train",
             {{"step", step},
              {"epoch", static_cast<double>(step) / static_cast<double>(plan_.per_epoch)},
              {"loss", loss},
              {"loss_std", std::sqrt(std::max(0.0, window_.loss_squared / steps - loss * loss))},
              {"train_accuracy", static_cast<double>(window_.correct) / images},
              {"l2_grads", window_.gradient_norm / steps},
              {"learning_rate", static_cast<double>(learning_rate)},
              {"images_per_s", static_cast<double>(window_.images) / seconds},
              {"data_wait", window_.wait_s / seconds}});
  window_ = {};
}

void StepReport::show(int64_t step, bool last) {
  const int64_t epoch = (step - 1) / plan_.per_epoch;
  const int64_t first = epoch * plan_.per_epoch;
  const int64_t steps = std::min(plan_.per_epoch, plan_.total - first);
  if (!progress_) {
    // Steps beyond the last whole epoch belong to it (reference.md F.3 floors).
    const int64_t shown = std::min<int64_t>(epoch + 1, recipe_.num_epochs);
    progress_.emplace(fmt::format("epoch {}/{}", shown, recipe_.num_epochs), steps);
  }
  if (!progress_->due() && !last) return;
  const double seconds = std::max(epoch_.seconds(), 1e-9);
  const double run_s = std::chrono::duration<double>(Clock::now() - started_).count();
  const double left =
      run_s * static_cast<double>(plan_.total - step) / static_cast<double>(step - first_step_);
  const std::string detail =
      fmt::format("loss {:.3f}  {} images/s  data {:.0f} %  run {} left",
                  epoch_.loss / static_cast<double>(std::max<int64_t>(1, epoch_.steps)),
                  human_count(std::llround(static_cast<double>(epoch_.images) / seconds)),
                  100 * epoch_.wait_s / seconds, human_duration(left));
  progress_->update(step - first, detail);
  if (last && stderr_is_terminal()) progress_->finish(detail);
}

}  // namespace nestvit::train

// The loop of a training run, top to bottom: run() is the whole of it, everything below serves one
// of its lines.
#include "train/trainer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <malloc.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "data/loader.h"
#include "train/bridge.h"
#include "train/checkpoint.h"
#include "train/epoch_stream.h"
#include "train/evaluation.h"
#include "train/loss.h"
#include "train/nest.h"
#include "train/optim.h"
#include "train/run_log.h"

namespace nestvit::train {
namespace {

using Clock = std::chrono::steady_clock;

// One loader serves at least this many samples, so that small data sets do not restart it every few
// steps.
constexpr int64_t kSamplesPerLoader = 1 << 18;
constexpr size_t kListedImages = 5;  // skipped images named on the terminal; log.jsonl has them all

TrainTransform transform_of(TransformChoice choice) {
  switch (choice) {
    case TransformChoice::kCrop:
      return TrainTransform::kCrop;
    case TransformChoice::kPad:
      return TrainTransform::kPad;
    case TransformChoice::kFlip:
      return TrainTransform::kFlip;
    default:
      return TrainTransform::kNone;
  }
}

OptimConfig optim_config(const Recipe& r) {
  OptimConfig config;
  config.optim = r.optim;
  config.weight_decay = r.weight_decay;
  config.wd_ignore = r.optim_wd_ignore;
  config.sgd_momentum = r.sgd_momentum;
  config.grad_clip_max_norm = r.grad_clip_max_norm;
  return config;
}

Schedule schedule_of(const Recipe& r, const StepPlan& plan) {
  const double scale = r.per_device_batch_size / 256.0;
  Schedule schedule;
  schedule.kind = r.learning_rate_schedule;
  schedule.base = r.learning_rate * scale;
  schedule.minimum = r.min_learning_rate * scale;
  schedule.steps_per_epoch = plan.per_epoch;
  schedule.warmup_epochs = r.warmup_epochs;
  schedule.num_epochs = r.num_epochs;
  schedule.check();
  return schedule;
}

// Sums over the steps between two lines of log.jsonl (reference.md F.4).
struct LogWindow {
  int64_t steps = 0, images = 0, correct = 0;
  double loss = 0, loss_squared = 0, gradient_norm = 0, wait_s = 0;
  Clock::time_point start = Clock::now();

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
};

class Trainer {
 public:
  Trainer(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
          const TrainOptions& options);
  TrainResult run();

 private:
  void start();
  void resume();
  void announce();

  void train_step();
  std::optional<Batch> next_batch();
  double update(const Batch& batch, float learning_rate);
  void log_step(float learning_rate);
  void show_progress();

  bool row_due() const;
  bool evaluation_due() const;
  bool finish_interval();
  void save();
  void note_skipped(const std::vector<std::pair<std::string, std::string>>& images);
  double epochs(int64_t step) const {
    return static_cast<double>(step) / static_cast<double>(plan_.per_epoch);
  }
  TrainResult result(bool finished, int signal) const;

  const Recipe& recipe_;
  const Dataset& val_set_;
  const TrainOptions& options_;
  EpochStream stream_;
  StepPlan plan_;
  Schedule schedule_;
  Nest net_;
  Optimizer optimizer_;
  Model model_;  // what checkpoints say about the model; its tensors are filled in by save()
  Checkpoints checkpoints_;
  RunLog log_;
  RunState state_;

  std::optional<Loader> loader_;
  double waited_before_ = 0;  // loader_'s wait_seconds at the last step
  LogWindow window_;          // for log.jsonl
  LogWindow epoch_;           // for the progress bar
  std::optional<Progress> progress_;
  Clock::time_point started_ = Clock::now();
  int64_t first_step_ = 0;
};

Trainer::Trainer(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
                 const TrainOptions& options)
    : recipe_(recipe),
      val_set_(val_set),
      options_(options),
      stream_(train_set),
      plan_(step_plan(recipe, train_set.size())),
      schedule_(schedule_of(recipe, plan_)),
      net_(recipe.nest),
      optimizer_(*net_, recipe.nest, optim_config(recipe)),
      checkpoints_(options.workdir, recipe.checkpoint_hist),
      log_(options.workdir) {
  model_.config = recipe.nest;
  model_.preprocessing = recipe.preprocessing;
  model_.labels = train_set.classes();
  for (auto i = model_.labels.size(); i < static_cast<size_t>(recipe.num_classes); ++i)
    model_.labels.push_back(fmt::format("class {}", i));
  state_.batch_size = recipe.per_device_batch_size;
  state_.train_size = train_set.size();
  state_.recipe_digest = digest(recipe);
}

TrainResult Trainer::run() {
  if (options_.resume) {
    resume();
  } else {
    start();
  }
  Recipe written = recipe_;
  write_file(options_.workdir / "config.yaml",
             "# The recipe of this run, complete: nestvit train --config takes it.\n" +
                 fields(written).to_yaml());
  announce();
  started_ = Clock::now();
  first_step_ = state_.step;
  while (true) {
    if (row_due() && !finish_interval()) break;
    if (state_.step >= plan_.total) return result(true, 0);
    if (options_.stop()) break;
    train_step();
    if (recipe_.checkpoint_every_steps > 0 && state_.step % recipe_.checkpoint_every_steps == 0 &&
        !row_due())
      save();
  }
  progress_.reset();
  save();
  const int signal = options_.stop();
  log_.write("stop", {{"step", state_.step}, {"signal", static_cast<int64_t>(signal)}});
  return result(false, signal);
}

// ---- beginning ----

void Trainer::start() {
  load_tensors(*net_, initial_tensors(recipe_.nest, static_cast<uint64_t>(recipe_.seed)));
  write_summary(options_.workdir, state_.history);
}

void Trainer::resume() {
  Checkpoints::Saved saved = checkpoints_.load_last();
  const std::string last = (options_.workdir / "last").string();
  if (saved.state.recipe_digest != state_.recipe_digest || saved.model.config != recipe_.nest ||
      saved.state.batch_size != state_.batch_size)
    throw UsageError(fmt::format("{} was made by another recipe than {}", last,
                                 (options_.workdir / "config.yaml").string()),
                     "undo the edit, or start anew in another --workdir");
  if (saved.state.train_size != state_.train_size)
    throw Error(fmt::format("{} was trained on {} images, but the training set now has {}", last,
                            saved.state.train_size, state_.train_size),
                "resume with the data it was started with, or start anew in another --workdir");
  if (saved.model.labels != model_.labels)
    throw Error(fmt::format("{} has other classes than the data", last),
                "resume with the data and --class-map it was started with");
  load_tensors(*net_, saved.model.tensors);
  optimizer_.load_state(saved.optimizer);
  state_ = std::move(saved.state);
  checkpoints_.sweep();
  write_summary(options_.workdir, state_.history);
}

void Trainer::announce() {
  log_.write(options_.resume ? "resume" : "start", {{"step", state_.step},
                                                    {"steps", plan_.total},
                                                    {"steps_per_epoch", plan_.per_epoch},
                                                    {"parameters", parameter_count(recipe_.nest)},
                                                    {"train_images", state_.train_size},
                                                    {"val_images", val_set_.size()},
                                                    {"recipe_digest", state_.recipe_digest}});
  std::string groups;
  for (const Optimizer::Group& group : optimizer_.groups())
    groups += fmt::format("{}{} {} tensors ({} values)", groups.empty() ? "" : ", ",
                          group.decayed ? fmt::format("{} on", recipe_.weight_decay) : "none on",
                          group.tensors, human_count(group.values));
  log_info(fmt::format("parameters     {}", human_count(parameter_count(recipe_.nest))));
  log_info(fmt::format("weight decay   {}", groups));
  log_info(fmt::format("steps          {} in all, {} per epoch, {} images each",
                       human_count(plan_.total), human_count(plan_.per_epoch),
                       recipe_.per_device_batch_size));
  log_info(fmt::format("learning rate  {:.3g} at its peak ({:.3g} x {} / 256)", schedule_.base,
                       recipe_.learning_rate, recipe_.per_device_batch_size));
  log_info(fmt::format("run folder     {}", options_.workdir.string()));
  if (!options_.resume) return;
  if (state_.step >= plan_.total) {
    log_info(fmt::format("this run is finished: all {} steps are done; raise --epochs to go on",
                         human_count(plan_.total)));
  } else {
    log_info(fmt::format("going on after step {} of {} (epoch {:.2f})", human_count(state_.step),
                         human_count(plan_.total), epochs(state_.step)));
  }
}

// ---- one step ----

void Trainer::train_step() {
  std::optional<Batch> batch = next_batch();
  ++state_.step;
  const float learning_rate = schedule_.at(state_.step);
  if (batch && batch->size > 0) {
    const double loss = update(*batch, learning_rate);
    state_.loss_sum += loss;
    ++state_.loss_steps;
  }
  if (batch) loader_->recycle(std::move(*batch));
  log_step(learning_rate);
  show_progress();
}

std::optional<Batch> Trainer::next_batch() {
  const int64_t batch_size = state_.batch_size;
  std::optional<Batch> batch;
  if (loader_) batch = loader_->next();
  if (!batch) {
    if (loader_) note_skipped(loader_->skipped());
    const int64_t first = state_.step * batch_size;
    const int64_t wanted = std::max(state_.train_size, kSamplesPerLoader) / batch_size * batch_size;
    const int64_t count = std::min(std::max(wanted, batch_size), plan_.total * batch_size - first);
    const auto seed = static_cast<uint64_t>(recipe_.seed);
    const TrainTransform transform = transform_of(recipe_.train_transform);
    LoaderOptions options;
    options.batch_size = recipe_.per_device_batch_size;
    options.workers = options_.workers;
    options.on_bad_image = recipe_.data.on_bad_image;
    loader_.emplace(
        stream_, stream_order(state_.train_size, seed, first, count),
        [this, seed, transform](const Sample& sample, int64_t index) {
          Rng rng(seed, Purpose::kTransform, static_cast<uint64_t>(stream_.epoch(index)),
                  static_cast<uint64_t>(stream_.image(index)));
          return training_pixels(sample, recipe_.preprocessing, transform, rng);
        },
        recipe_.preprocessing, options);
    waited_before_ = 0;
    batch = loader_->next();
  }
  const double waited = loader_->wait_seconds();
  window_.wait_s += waited - waited_before_;
  epoch_.wait_s += waited - waited_before_;
  waited_before_ = waited;
  return batch;
}

// Forward, backward, optimiser; returns the loss.
double Trainer::update(const Batch& batch, float learning_rate) {
  Rng rng(static_cast<uint64_t>(recipe_.seed), Purpose::kDropPath,
          static_cast<uint64_t>(state_.step));
  torch::manual_seed(rng.next_u32());
  net_->train();
  const torch::Tensor labels = labels_tensor(batch);  // [B]
  const torch::Tensor targets =
      smoothed_one_hot(labels, recipe_.num_classes, recipe_.mix.smoothing);  // [B, K]
  const torch::Tensor logits = net_->forward(images_tensor(batch));          // [B, K]
  const torch::Tensor loss = soft_cross_entropy(logits, targets) + optimizer_.l2_term();
  loss.backward();
  const double value = loss.item<double>();
  const double norm = optimizer_.step(learning_rate);
  if (!std::isfinite(value) || !std::isfinite(norm))
    throw Error(
        fmt::format("the loss is {} and the gradient norm {} at step {} (epoch {:.2f}, learning "
                    "rate {:.3g})",
                    value, norm, state_.step, epochs(state_.step), learning_rate),
        "lower the learning rate or lengthen the warm-up; checkpoints written so far are good");
  const int64_t correct = (logits.detach().argmax(1) == labels).sum().item<int64_t>();
  for (LogWindow* window : {&window_, &epoch_}) {
    ++window->steps;
    window->images += batch.size;
    window->correct += correct;
    window->loss += value;
    window->loss_squared += value * value;
    window->gradient_norm += norm;
  }
  return value;
}

void Trainer::log_step(float learning_rate) {
  if (state_.step % recipe_.log_loss_every_steps != 0 && state_.step != plan_.total) return;
  const double steps = static_cast<double>(std::max<int64_t>(1, window_.steps));
  const double images = static_cast<double>(std::max<int64_t>(1, window_.images));
  const double loss = window_.loss / steps;
  const double seconds = std::max(window_.seconds(), 1e-9);
  log_.write("train",
             {{"step", state_.step},
              {"epoch", epochs(state_.step)},
              {"loss", loss},
              {"loss_std", std::sqrt(std::max(0.0, window_.loss_squared / steps - loss * loss))},
              {"train_accuracy", static_cast<double>(window_.correct) / images},
              {"l2_grads", window_.gradient_norm / steps},
              {"learning_rate", static_cast<double>(learning_rate)},
              {"images_per_s", static_cast<double>(window_.images) / seconds},
              {"data_wait", window_.wait_s / seconds}});
  window_ = {};
}

void Trainer::show_progress() {
  const int64_t epoch = (state_.step - 1) / plan_.per_epoch;
  const int64_t first = epoch * plan_.per_epoch;
  const int64_t steps = std::min(plan_.per_epoch, plan_.total - first);
  if (!progress_) {
    // Steps beyond the last whole epoch belong to it (reference.md F.3 floors).
    const int64_t shown = std::min<int64_t>(epoch + 1, recipe_.num_epochs);
    progress_.emplace(fmt::format("epoch {}/{}", shown, recipe_.num_epochs), steps);
  }
  const bool last = row_due();
  if (!progress_->due() && !last) return;
  const double seconds = std::max(epoch_.seconds(), 1e-9);
  const double run_s = std::chrono::duration<double>(Clock::now() - started_).count();
  const double left = run_s * static_cast<double>(plan_.total - state_.step) /
                      static_cast<double>(state_.step - first_step_);
  const std::string detail =
      fmt::format("loss {:.3f}  {} images/s  data {:.0f} %  run {} left",
                  epoch_.loss / static_cast<double>(std::max<int64_t>(1, epoch_.steps)),
                  human_count(std::llround(static_cast<double>(epoch_.images) / seconds)),
                  100 * epoch_.wait_s / seconds, human_duration(left));
  if (last && stderr_is_terminal()) {
    progress_->update(state_.step - first, detail);
    progress_->finish(detail);
  } else {
    progress_->update(state_.step - first, detail);
  }
}

// ---- end of an epoch or evaluation interval ----

bool Trainer::evaluation_due() const {
  return state_.step % plan_.per_evaluation == 0 || state_.step == plan_.total;
}

bool Trainer::row_due() const {
  if (state_.step == 0 || (!state_.history.empty() && state_.history.back().step == state_.step))
    return false;
  return state_.step % plan_.per_epoch == 0 || evaluation_due();
}

// Evaluates when due, writes the row and the checkpoint. False when a signal came meanwhile: the
// row is then left to the resumed run.
bool Trainer::finish_interval() {
  progress_.reset();
  SummaryRow row;
  row.step = state_.step;
  row.epoch = epochs(state_.step);
  row.train_loss = state_.loss_sum / static_cast<double>(std::max<int64_t>(1, state_.loss_steps));
  row.learning_rate = schedule_.at(state_.step);
  std::string line = fmt::format("epoch {:.6g}/{}  train loss {:.4f}", row.epoch,
                                 recipe_.num_epochs, row.train_loss);
  const bool evaluated = evaluation_due();
  if (evaluated) {
    const std::optional<Evaluation> evaluation =
        evaluate(net_, val_set_, recipe_, options_.workers, options_.stop);
    if (!evaluation) return false;
    note_skipped(evaluation->skipped);
    row.eval_loss = evaluation->loss;
    row.eval_top1 = evaluation->top1;
    row.eval_top5 = evaluation->top5;
    const bool best = state_.best_step < 0 || evaluation->top1 > state_.best_top1;
    if (best) {
      state_.best_top1 = evaluation->top1;
      state_.best_step = state_.step;
    }
    line += fmt::format("  val top-1 {:.2f} %  top-5 {:.2f} %  loss {:.4f}{}", evaluation->top1,
                        evaluation->top5, evaluation->loss, best ? "  (best)" : "");
    log_.write("eval", {{"step", state_.step},
                        {"epoch", row.epoch},
                        {"top1", evaluation->top1},
                        {"top5", evaluation->top5},
                        {"eval_loss", evaluation->loss},
                        {"images", evaluation->images},
                        {"images_per_s", static_cast<double>(evaluation->images) /
                                             std::max(evaluation->seconds, 1e-9)}});
  }
  state_.history.push_back(row);
  state_.loss_sum = 0;
  state_.loss_steps = 0;
  if (evaluated) save();
  write_summary(options_.workdir, state_.history);
  const double seconds = epoch_.seconds();
  log_info(line + fmt::format("  ({})", human_duration(seconds)));
  epoch_ = {};
  window_.start = Clock::now();
  return true;
}

void Trainer::note_skipped(const std::vector<std::pair<std::string, std::string>>& images) {
  for (const auto& image : images) {
    if (std::find(state_.skipped.begin(), state_.skipped.end(), image) != state_.skipped.end())
      continue;
    state_.skipped.push_back(image);
    log_.write("skipped", {{"image", image.first}, {"reason", image.second}});
    if (state_.skipped.size() <= kListedImages)
      log_warning(fmt::format("left out {}: {}", image.first, image.second));
    if (state_.skipped.size() == kListedImages + 1)
      log_warning("more images are left out: log.jsonl lists them");
  }
}

void Trainer::save() {
  if (loader_) note_skipped(loader_->skipped());
  model_.tensors = export_tensors(*net_);
  checkpoints_.save(state_, model_, optimizer_.state());
  log_.write("checkpoint", {{"step", state_.step}});
}

TrainResult Trainer::result(bool finished, int signal) const {
  TrainResult result;
  result.step = state_.step;
  result.finished = finished;
  result.signal = signal;
  if (state_.best_step >= 0) result.best_top1 = state_.best_top1;
  return result;
}

// Activations of megabytes come and go in every step: kept in the heap they cost no page faults,
// which are a tenth of a small model's step otherwise.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
}

void set_threads(int threads) {
  // Before the first parallel region: its threads inherit the flag. Denormals are many times slower
  // to compute with.
  at::globalContext().setFlushDenormal(true);
  at::set_num_threads(
      threads > 0 ? threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
}

}  // namespace

TrainResult train(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
                  const TrainOptions& options) {
  schedule_of(recipe,
              step_plan(recipe, train_set.size()));  // a wrong recipe leaves no folder behind
  keep_freed_memory();
  set_threads(options.threads);
  const Checkpoints checkpoints(options.workdir, recipe.checkpoint_hist);
  if (!options.resume && checkpoints.any())
    throw UsageError(fmt::format("{} already holds checkpoints", options.workdir.string()),
                     "add --resume to go on from them, or choose another --workdir");
  std::error_code error;
  std::filesystem::create_directories(options.workdir, error);
  if (error)
    throw Error(fmt::format("cannot make {}: {}", options.workdir.string(), error.message()),
                "choose another --workdir");
  return Trainer(recipe, train_set, val_set, options).run();
}

}  // namespace nestvit::train

// The loop of a training run, top to bottom: run() is the whole of it, everything below serves one
// of its lines.
#include "train/trainer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "data/loader.h"
#include "train/augmentation.h"
#include "train/bridge.h"
#include "train/checkpoint.h"
#include "train/epoch_stream.h"
#include "train/evaluation.h"
#include "train/finetune.h"
#include "train/input.h"
#include "train/loss.h"
#include "train/nest.h"
#include "train/optim.h"
#include "train/param_groups.h"
#include "train/process.h"
#include "train/run_log.h"
#include "train/run_page.h"
#include "train/step_report.h"

namespace nestvit::train {
namespace {

// One loader serves at least this many samples, so that small data sets do not restart it every few
// steps.
constexpr int64_t kSamplesPerLoader = 1 << 18;
constexpr size_t kListedImages = 5;  // skipped images named on the terminal; log.jsonl has them all

OptimConfig optim_config(const Recipe& r) {
  OptimConfig config;
  config.optim = r.optim;
  config.weight_decay = r.weight_decay;
  config.wd_ignore = r.optim_wd_ignore;
  config.sgd_momentum = r.sgd_momentum;
  config.grad_clip_max_norm = r.grad_clip_max_norm;
  config.freeze = r.freeze;
  config.layer_decay = r.layer_decay;
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

// Modules that stay in evaluation mode, since their weights are frozen: their drop-path is off and
// their running statistics rest.
std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules(
    const Nest& net, const std::vector<std::string>& freeze) {
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  for (const auto& item : net->named_modules(/*name_prefix=*/"", /*include_self=*/false))
    if (frozen(item.key(), freeze)) modules.push_back(item.value());
  return modules;
}

class Trainer {
 public:
  Trainer(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
          const TrainOptions& options);
  // `fresh`: the tensors to start from, unless the run is resumed.
  TrainResult run(const TensorMap& fresh);

 private:
  void start(const TensorMap& fresh);
  void resume();
  void write_recipe();
  void announce();
  void announce_groups();

  void train_step();
  std::optional<Batch> next_batch();
  torch::Tensor mixed_targets(Batch& batch);
  double update(Batch& batch, float learning_rate);

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
  std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules_;
  Model model_;  // what checkpoints say about the model; its tensors are filled in by save()
  Checkpoints checkpoints_;
  Augmentation augmentation_;
  std::optional<MixSettings> mix_;
  RunLog log_;
  RunState state_;

  std::optional<Loader> loader_;
  double waited_before_ = 0;  // loader_'s wait_seconds at the last step
  std::optional<StepReport> report_;
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
      frozen_modules_(frozen_modules(net_, recipe.freeze)),
      checkpoints_(options.workdir, recipe.checkpoint_hist),
      augmentation_(augment_settings(recipe), static_cast<uint64_t>(recipe.seed)),
      mix_(mix_settings(recipe)),
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

TrainResult Trainer::run(const TensorMap& fresh) {
  if (options_.resume) {
    resume();
  } else {
    start(fresh);
  }
  write_recipe();
  announce();
  report_.emplace(log_, recipe_, plan_, state_.step);
  while (true) {
    if (row_due() && !finish_interval()) break;
    if (state_.step >= plan_.total) return result(true, 0);
    if (options_.stop()) break;
    train_step();
    if (recipe_.checkpoint_every_steps > 0 && state_.step % recipe_.checkpoint_every_steps == 0 &&
        !row_due())
      save();
  }
  report_->close_bar();
  save();
  const int signal = options_.stop();
  log_.write("stop", {{"step", state_.step}, {"signal", static_cast<int64_t>(signal)}});
  return result(false, signal);
}

// ---- beginning ----

void Trainer::start(const TensorMap& fresh) {
  load_tensors(*net_, fresh);
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

void Trainer::write_recipe() {
  Recipe written = recipe_;
  write_file(options_.workdir / "config.yaml",
             "# The recipe of this run, complete: nestvit train --config takes it.\n" +
                 fields(written).to_yaml());
}

void Trainer::announce() {
  log_.write(options_.resume ? "resume" : "start", {{"step", state_.step},
                                                    {"steps", plan_.total},
                                                    {"steps_per_epoch", plan_.per_epoch},
                                                    {"parameters", parameter_count(recipe_.nest)},
                                                    {"train_images", state_.train_size},
                                                    {"val_images", val_set_.size()},
                                                    {"recipe_digest", state_.recipe_digest}});
  log_info(fmt::format("parameters     {}", human_count(parameter_count(recipe_.nest))));
  announce_groups();
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

// What is frozen, what decays, and the learning rate of each layer.
void Trainer::announce_groups() {
  const std::vector<Optimizer::Group> groups = optimizer_.groups();
  int64_t trained = 0;
  std::string decay;
  for (const bool decayed : {true, false}) {
    Optimizer::Group sum{decayed, 0, 0};
    for (const Optimizer::Group& group : groups)
      if (group.decayed == decayed) {
        sum.tensors += group.tensors;
        sum.values += group.values;
      }
    trained += sum.values;
    if (sum.tensors > 0)
      decay += fmt::format("{}{} {} tensors ({} values)", decay.empty() ? "" : ", ",
                           decayed ? fmt::format("{} on", recipe_.weight_decay) : "none on",
                           sum.tensors, human_count(sum.values));
  }
  if (!recipe_.freeze.empty())
    log_info(
        fmt::format("frozen         {}: {} values stay, {} train", fmt::join(recipe_.freeze, ", "),
                    human_count(parameter_count(recipe_.nest) - trained), human_count(trained)));
  log_info(fmt::format("weight decay   {}", decay));
  if (recipe_.layer_decay == 1) return;
  log_info(fmt::format("layer decay    {} per layer; the learning rate is multiplied by",
                       recipe_.layer_decay));
  for (const Optimizer::Group& group : groups)
    log_info(fmt::format("               {:.4g} for {} tensor{} ({} values{})", group.share,
                         group.tensors, group.tensors == 1 ? "" : "s", human_count(group.values),
                         group.decayed ? "" : ", not decayed"));
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
  report_->step_done(state_.step, learning_rate, row_due());
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
    LoaderOptions options;
    options.batch_size = recipe_.per_device_batch_size;
    options.workers = options_.workers;
    options.on_bad_image = recipe_.data.on_bad_image;
    if (augmentation_.erases())
      options.finish = [this](std::span<float> chw, int64_t index) {
        augmentation_.finish(chw, recipe_.input_size, recipe_.input_size,
                             static_cast<uint64_t>(stream_.epoch(index)),
                             static_cast<uint64_t>(stream_.image(index)));
      };
    loader_.emplace(
        stream_, stream_order(state_.train_size, seed, first, count),
        [this, seed, kind = stream_.kind()](const Sample& sample, int64_t index) {
          Rng rng(seed, Purpose::kTransform, static_cast<uint64_t>(stream_.epoch(index)),
                  static_cast<uint64_t>(stream_.image(index)));
          return augmentation_.pixels(training_input(sample, recipe_, kind, rng),
                                      static_cast<uint64_t>(stream_.epoch(index)),
                                      static_cast<uint64_t>(stream_.image(index)));
        },
        recipe_.preprocessing, options);
    waited_before_ = 0;
    batch = loader_->next();
  }
  const double waited = loader_->wait_seconds();
  report_->waited(waited - waited_before_);
  waited_before_ = waited;
  return batch;
}

// Soft labels [B, K]; mixes the images with them where the recipe says so.
torch::Tensor Trainer::mixed_targets(Batch& batch) {
  const int64_t classes = recipe_.num_classes;
  if (!mix_) return smoothed_one_hot(labels_tensor(batch), classes, recipe_.mix.smoothing);
  Rng rng(static_cast<uint64_t>(recipe_.seed), Purpose::kMix, static_cast<uint64_t>(state_.step));
  std::vector<float> labels = mix(batch, recipe_.num_classes, *mix_, rng);
  return torch::from_blob(labels.data(), {batch.size, classes}).clone();
}

// Forward, backward, optimiser; returns the loss.
double Trainer::update(Batch& batch, float learning_rate) {
  Rng rng(static_cast<uint64_t>(recipe_.seed), Purpose::kDropPath,
          static_cast<uint64_t>(state_.step));
  torch::manual_seed(rng.next_u32());
  net_->train();
  for (const auto& module : frozen_modules_) module->eval();
  const torch::Tensor targets = mixed_targets(batch);                // [B, K]
  const torch::Tensor logits = net_->forward(images_tensor(batch));  // [B, K]
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
  const int64_t correct = (logits.detach().argmax(1) == targets.argmax(1)).sum().item<int64_t>();
  report_->add(batch.size, correct, value, norm);
  return value;
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
  report_->close_bar();
  SummaryRow row;
  row.step = state_.step;
  row.epoch = epochs(state_.step);
  row.train_loss = state_.loss_sum / static_cast<double>(std::max<int64_t>(1, state_.loss_steps));
  row.learning_rate = schedule_.at(state_.step);
  std::string line = fmt::format("epoch {:.6g}/{}  train loss {:.4f}", row.epoch,
                                 recipe_.num_epochs, *row.train_loss);
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
  write_report(options_.workdir, recipe_, plan_, state_);
  log_info(line + fmt::format("  ({})", human_duration(report_->end_interval())));
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

}  // namespace

TrainResult train(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
                  const TrainOptions& options) {
  // A wrong recipe, or weights that do not fit, leave no folder behind.
  schedule_of(recipe, step_plan(recipe, train_set.size()));
  const TensorMap fresh = options.resume ? TensorMap() : starting_tensors(recipe, options.weights);
  prepare_process(options.threads);
  if (!options.resume) refuse_used(options.workdir);
  make_workdir(options.workdir);
  return Trainer(recipe, train_set, val_set, options).run(fresh);
}

}  // namespace nestvit::train

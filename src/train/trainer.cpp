// The loop of a training run: run() is all of it, everything below serves one of its lines. Every
// process of the run's group executes it; rank 0 writes the files.
#include "train/trainer.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "data/training_data.h"
#include "run/input/batches.h"
#include "run/recipe/finetune.h"
#include "run/recipe/plan.h"
#include "run/recipe/resolve.h"
#include "run/record/checkpoint.h"
#include "run/record/early_stop.h"
#include "run/record/log.h"
#include "run/record/page.h"
#include "run/record/step_log.h"
#include "run/start_print.h"
#include "train/device/cuda_module.h"
#include "train/device/device.h"
#include "train/device/process_setup.h"
#include "train/evaluation.h"
#include "train/group/backend.h"
#include "train/learner.h"
#include "train/throughput.h"
#include "weights/labels/labels.h"

namespace nestvit::train {
namespace {

constexpr size_t kListedImages = 5;  // skipped images named on the terminal; log.jsonl has them all

class Trainer {
 public:
  Trainer(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
          const TrainOptions& options, const torch::Device& device);
  // `fresh`: the tensors to start from; null: resume from the last checkpoint.
  TrainResult run(const TensorMap* fresh);

 private:
  void resume();
  void load_last();
  void open_folder(bool resumed);
  void write_recipe(bool resumed) const;
  bool train_step();
  void train_on(std::optional<Batch> batch, int64_t number, bool last);
  void count(const Learner::Update& done);

  bool interval_ends() const;
  bool evaluation_due() const;
  bool checkpoint_due() const;
  bool finish_interval();
  bool finished() const;
  void log_early_stop();
  TrainResult stop();
  std::string note_evaluation(const Evaluation& evaluation, SummaryRow& row);
  void save();
  void note_skipped(const std::vector<std::pair<std::string, std::string>>& images);
  void warn_of_classes_left_out();
  TrainResult result(bool finished, int signal) const;

  const Recipe& recipe_;
  const Dataset& train_set_;
  const Dataset& val_set_;
  const TrainOptions& options_;
  const Group& group_;
  StepPlan plan_;
  Schedule schedule_;
  Batches batches_;
  Learner learner_;
  // The model as checkpoints describe it; save() fills in its tensors.
  LoadedNetwork model_;
  Checkpoints checkpoints_;
  RunState state_;
  std::set<int> classes_left_out_;  // that were warned of
  bool saved_ = false;              // a checkpoint holds `state_`
  std::optional<RunLog> log_;
  std::optional<StepLog> report_;
};

Trainer::Trainer(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
                 const TrainOptions& options, const torch::Device& device)
    : recipe_(recipe),
      train_set_(train_set),
      val_set_(val_set),
      options_(options),
      group_(*options.group),
      plan_(step_plan(recipe, train_set.size())),
      schedule_(schedule_of(recipe, plan_)),
      batches_(recipe, train_set, plan_.total * step_batches(recipe), options.workers,
               {group_.rank(), group_.world_size()}),
      learner_(recipe, device, group_, options.cuda_graph ? cuda_module().make_graph : nullptr),
      checkpoints_(options.workdir, recipe.checkpoint_hist) {
  model_.config = architecture_of(recipe);
  model_.preprocessing = recipe.preprocessing;
  model_.labels = class_labels(train_set.classes(), recipe.num_classes);
  if (group_.is_root())
    model_.trained_on = record_of(train_set, val_set, model_.labels,
                                  dataset_options(recipe, recipe.data.train_split));
  state_.batch_size = step_images(recipe);
  state_.train_size = train_set.size();
  state_.recipe_digest = digest(recipe);
}

TrainResult Trainer::run(const TensorMap* fresh) {
  if (fresh) {
    learner_.start(*fresh);
  } else {
    resume();
  }
  learner_.broadcast_state();
  open_folder(fresh == nullptr);
  if (recipe_.log_model_profile != 0) print_throughput(learner_.ema_or_net(), recipe_);
  if (recipe_.log_model_profile > 1) return result(false, 0);  // as the reference
  // A resumed run does not read init_checkpoint, so the weights from there are saved at once.
  if (fresh && !recipe_.init_checkpoint.empty()) save();

  bool go_on = group_.all_reduce_max(options_.stop()) == 0;
  // A run that was stopped in an evaluation resumes with that evaluation.
  if (interval_ends()) go_on = finish_interval() && go_on;
  while (go_on && !finished()) {
    go_on = train_step();
    if (interval_ends()) {
      go_on = finish_interval() && go_on;
    } else if (checkpoint_due()) {
      save();
    }
  }
  if (!finished()) return stop();
  if (state_.step < plan_.total) log_early_stop();
  return result(true, 0);
}

// ---- beginning ----

void Trainer::resume() {
  if (group_.is_root()) load_last();
  const std::string state = group_.broadcast(state_json(state_));
  if (!group_.is_root()) state_ = parse_state(state, "what rank 0 resumes from");
  saved_ = true;
}

void Trainer::load_last() {
  Checkpoints::Saved saved = checkpoints_.load_last();
  const std::string last = (options_.workdir / "last").string();
  if (saved.state.recipe_digest != state_.recipe_digest || saved.model.config != model_.config ||
      saved.state.batch_size != state_.batch_size)
    throw UsageError(fmt::format("{} was made by another recipe than {}", last,
                                 (options_.workdir / "config.yaml").string()),
                     "undo the edit, or start a new run in another --workdir");
  if (saved.state.train_size != state_.train_size)
    throw Error(
        fmt::format("{} was trained on {} images, but the training set now has {}", last,
                    saved.state.train_size, state_.train_size),
        "resume with the data it was started with, or start a new run in another --workdir");
  if (saved.model.labels != model_.labels)
    throw Error(fmt::format("{} has other classes than the data", last),
                "resume with the data and --class-map it was started with");
  if (saved.model.trained_on) require_same_data(*saved.model.trained_on, *model_.trained_on, last);
  learner_.resume(saved.model.tensors, std::move(saved.optimizer));
  state_ = std::move(saved.state);
  checkpoints_.resume_from(state_);
}

// Settings that came with --resume count from now on, but not where there is nothing left to train.
void Trainer::write_recipe(bool resumed) const {
  Recipe written = recipe_;
  const std::string text =
      "# The recipe of this run, complete: nestvit train --config takes it.\n" +
      fields(written).to_yaml();
  const std::filesystem::path path = options_.workdir / "config.yaml";
  if (!resumed || !finished()) return write_file(path, text);
  if (read_text(path) != text)
    log_info(fmt::format("nothing is trained, so {} keeps its settings", path.string()));
}

// Makes the folder's files agree with `state_`, and opens them for what is added.
void Trainer::open_folder(bool resumed) {
  std::vector<RunPoint> curve;
  if (group_.is_root()) {
    write_recipe(resumed);
    write_summary(options_.workdir, state_.history);
    curve = cut_log(options_.workdir, state_);
    log_.emplace(options_.workdir);
  } else {
    log_.emplace();
  }
  log_->write(resumed ? "resume" : "start", {{"step", state_.step},
                                             {"steps", plan_.total},
                                             {"steps_per_epoch", plan_.per_epoch},
                                             {"parameters", parameter_count(model_.config)},
                                             {"processes", int64_t{group_.world_size()}},
                                             {"train_images", state_.train_size},
                                             {"val_images", val_set_.size()},
                                             {"recipe_digest", state_.recipe_digest}});
  print_loop_start({recipe_, plan_, schedule_, learner_.optimizer().groups(), options_.workdir,
                    resumed ? std::optional(state_.step) : std::nullopt});
  report_.emplace(*log_, recipe_, plan_, state_.step, state_.window, std::move(curve));
}

// ---- one step ----

// False when a signal asked any process to stop.
bool Trainer::train_step() {
  const int64_t step = ++state_.step;
  saved_ = false;
  const int64_t parts = step_batches(recipe_), end = step * parts;
  const BatchShard shard{group_.rank(), group_.world_size()};
  double waited = 0;
  for (int64_t number = end - parts + 1; number <= end; ++number) {
    if (!shard.owns(number, parts)) continue;
    std::optional<Batch> batch = batches_.next(number);
    waited += batches_.last_wait();
    train_on(std::move(batch), number, /*last=*/number + group_.world_size() > end);
  }
  report_->waited(waited);
  const float learning_rate = schedule_.at(step);
  const bool stop = options_.stop() != 0;
  if (const auto done = learner_.update(step, learning_rate, stop)) count(*done);
  report_->step_done(step, learning_rate, interval_ends());
  return !learner_.anyone_stops();
}

void Trainer::train_on(std::optional<Batch> batch, int64_t number, bool last) {
  if (batch && batch->size > 0) {
    const std::vector<float> targets = batches_.targets(*batch, number);
    learner_.add(*batch, targets, number, last);
  } else if (last) {
    learner_.backward_without_images();
  }
  if (batch) batches_.recycle(std::move(*batch));
}

void Trainer::count(const Learner::Update& done) {
  if (done.skipped) {
    log_->write("overflow", {{"step", state_.step}, {"loss_scale", learner_.loss_scale()}});
    return;
  }
  report_->add(done.images, done.correct, done.loss, done.gradient_norm);
  state_.loss_sum += done.loss;
  ++state_.loss_steps;
}

// ---- end of an epoch or evaluation interval ----

bool Trainer::evaluation_due() const { return plan_.evaluation_ends(state_.step); }

bool Trainer::checkpoint_due() const {
  return recipe_.checkpoint_every_steps > 0 && state_.step % recipe_.checkpoint_every_steps == 0;
}

// An epoch or an evaluation interval ends with this step, and its row is not written yet.
bool Trainer::interval_ends() const {
  if (!state_.history.empty() && state_.history.back().step == state_.step) return false;
  return plan_.epoch_ends(state_.step) || evaluation_due();
}

bool Trainer::finished() const {
  if (interval_ends()) return false;
  return state_.step >= plan_.total ||
         out_of_patience(state_.history, recipe_.patience, recipe_.min_delta);
}

// Evaluates when due, writes the row and the checkpoint. False when a signal interrupted the
// evaluation: the resumed run then writes the row.
bool Trainer::finish_interval() {
  report_->close_bar();
  SummaryRow row;
  row.step = state_.step;
  row.epoch = plan_.epoch(state_.step);
  row.train_loss = state_.loss_sum / static_cast<double>(std::max<int64_t>(1, state_.loss_steps));
  row.learning_rate = schedule_.at(state_.step);
  std::string line = fmt::format("epoch {:.6g}/{}  train loss {:.4f}", row.epoch,
                                 recipe_.num_epochs, *row.train_loss);
  std::optional<Evaluation> evaluation;
  if (evaluation_due()) {
    learner_.average_statistics();
    evaluation = evaluate(learner_.ema_or_net(), val_set_, recipe_,
                          {options_.workers, options_.stop}, group_);
    if (!evaluation) return false;
    line += note_evaluation(*evaluation, row);
  }
  state_.history.push_back(row);
  state_.loss_sum = 0;
  state_.loss_steps = 0;
  saved_ = false;
  if (evaluation || checkpoint_due()) save();
  if (group_.is_root()) write_summary(options_.workdir, state_.history);
  if (evaluation && group_.is_root())
    write_report(options_.workdir, {recipe_, plan_, state_, report_->curve(), val_set_,
                                    model_.labels, evaluation->metrics, evaluation->examples});
  log_info(line + fmt::format("  ({})", human_duration(report_->end_interval())));
  return true;
}

// Writes to the row, the best so far and the log; returns the text for the terminal.
std::string Trainer::note_evaluation(const Evaluation& evaluation, SummaryRow& row) {
  note_skipped(evaluation.skipped);
  row.eval_loss = evaluation.loss;
  row.eval_top1 = evaluation.top1;
  row.eval_top5 = evaluation.top5;
  const bool best = state_.best_step < 0 || evaluation.top1 > state_.best_top1;
  if (best) {
    state_.best_top1 = evaluation.top1;
    state_.best_step = state_.step;
  }
  log_evaluation(*log_, state_.step, row.epoch, evaluation);
  return fmt::format("  val top-1 {:.2f} %  top-5 {:.2f} %  loss {:.4f}{}", evaluation.top1,
                     evaluation.top5, evaluation.loss, best ? "  (best)" : "");
}

void Trainer::log_early_stop() {
  log_->write(
      "early_stop",
      {{"step", state_.step}, {"best_step", state_.best_step}, {"best_top1", state_.best_top1}});
  log_info(fmt::format(
      "finished early: no better top-1 in {} evaluation{}; to go on: --resume with a larger "
      "--patience",
      recipe_.patience, recipe_.patience == 1 ? "" : "s"));
}

// The end of a run that a signal asked to stop.
TrainResult Trainer::stop() {
  report_->close_bar();
  if (!saved_) save();
  const int signal = group_.all_reduce_max(options_.stop());
  log_->write("stop", {{"step", state_.step}, {"signal", static_cast<int64_t>(signal)}});
  return result(false, signal);
}

void Trainer::note_skipped(const std::vector<std::pair<std::string, std::string>>& images) {
  const size_t known = state_.skipped.size();
  for (const auto& image : images) {
    if (std::find(state_.skipped.begin(), state_.skipped.end(), image) != state_.skipped.end())
      continue;
    state_.skipped.push_back(image);
    log_->write("skipped", {{"image", image.first}, {"reason", image.second}});
    if (state_.skipped.size() <= kListedImages)
      log_warning(fmt::format("left out {}: {}", image.first, image.second));
    if (state_.skipped.size() == kListedImages + 1)
      log_warning("more images are left out: log.jsonl lists them");
  }
  if (state_.skipped.size() > known) warn_of_classes_left_out();
  // Workers find them in any order.
  std::sort(state_.skipped.begin(), state_.skipped.end());
}

void Trainer::warn_of_classes_left_out() {
  for (const int k : classes_left_out(train_set_, state_.skipped)) {
    if (!classes_left_out_.insert(k).second) continue;
    const std::string& name = train_set_.classes().at(k);
    log_->write("class_left_out", {{"step", state_.step}, {"class", name}});
    log_warning(fmt::format("no image of class '{}' can be read: the model cannot learn it", name));
  }
}

void Trainer::save() {
  note_skipped(gather_skipped(batches_.skipped(), group_));
  learner_.average_statistics();
  saved_ = true;
  if (!group_.is_root()) return;
  model_.tensors = learner_.model_tensors();
  log_->sync();  // first: a checkpoint that survives a power cut has the lines that led to it
  checkpoints_.save(state_, model_, learner_.state());
  log_->write("checkpoint", {{"step", state_.step}});
}

TrainResult Trainer::result(bool finished, int signal) const {
  TrainResult result;
  result.step = state_.step;
  result.finished = finished;
  result.signal = signal;
  if (state_.best_step >= 0) result.best_top1 = state_.best_top1;
  return result;
}

// Whether there is a checkpoint to resume from. A run that was killed before its first one begins
// from the start.
bool resumes(const Recipe& recipe, const TrainOptions& options) {
  if (!options.resume) {
    refuse_used(options.workdir);
    return false;
  }
  if (Checkpoints(options.workdir, 1).any()) return true;
  const std::string workdir = options.workdir.string();
  if (!std::filesystem::exists(options.workdir / "config.yaml"))
    throw Error(fmt::format("{} holds no run to resume", workdir),
                "give the --workdir of a run that was started, or leave --resume out");
  if (!recipe.init_checkpoint.empty())
    throw Error(fmt::format("{} ended before it had saved the weights it starts from", workdir),
                "give the command that started it again, without --resume");
  log_info(fmt::format("{} has no checkpoint yet: the run starts from the beginning", workdir));
  return false;
}

// The indexes only save time, so a run continues without them.
void save_indexes(const std::filesystem::path& workdir, const Dataset& train_set,
                  const Dataset& val_set) {
  try {
    train_set.save_index(index_file(workdir, "train"));
    val_set.save_index(index_file(workdir, "val"));
  } catch (const Error& error) {
    log_warning(fmt::format("the data's index is not saved: {}", error.what()));
  }
}

}  // namespace

TrainResult train(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
                  const TrainOptions& options) {
  // A wrong recipe, or weights that do not fit, leave no folder behind.
  schedule_of(recipe, step_plan(recipe, train_set.size()));
  const Group& group = *options.group;
  if (options.cuda_graph) check_cuda_graph(recipe, options.device, group);
  if (group.world_size() > step_batches(recipe))
    throw UsageError(fmt::format("{} processes, but a step has {} batch{}: some would have nothing "
                                 "to do",
                                 group.world_size(), step_batches(recipe),
                                 step_batches(recipe) == 1 ? "" : "es"),
                     fmt::format("start {} or fewer", step_batches(recipe)));
  if (recipe.sync_bn && step_batches(recipe) % group.world_size() != 0)
    throw UsageError(fmt::format("sync_bn with {} processes for the {} batches of a step: some "
                                 "would wait for statistics of batches that others do not have",
                                 group.world_size(), step_batches(recipe)),
                     "start a number of processes that divides the batches");
  const bool resumed =
      group.broadcast(group.is_root() && resumes(recipe, options) ? "resume" : "") == "resume";
  std::optional<TensorMap> fresh;
  if (!resumed) fresh = starting_tensors(recipe, options.weights, train_set.classes());
  set_up_process(options.threads);
  const torch::Device device = open_device(options.device, recipe.amp);
  choose_backend(group, device);
  std::optional<FolderLock> lock;
  if (group.is_root()) {
    make_workdir(options.workdir);
    lock.emplace(options.workdir);
    save_indexes(options.workdir, train_set, val_set);
  }
  return Trainer(recipe, train_set, val_set, options, device).run(fresh ? &*fresh : nullptr);
}

}  // namespace nestvit::train

// The loop of a training run, top to bottom: run() is the whole of it, everything below serves one
// of its lines. Every process of the run's group goes through it; the first one writes.
#include "train/trainer.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
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
#include "train/device/cuda_graph.h"
#include "train/device/device.h"
#include "train/device/process_setup.h"
#include "train/evaluation.h"
#include "train/group/backend.h"
#include "train/learner.h"
#include "train/throughput.h"
#include "weights/labels.h"

namespace nestvit::train {
namespace {

constexpr size_t kListedImages = 5;  // skipped images named on the terminal; log.jsonl has them all

class Trainer {
 public:
  Trainer(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
          const TrainOptions& options, const torch::Device& device);
  // `fresh`: the tensors to start from; null: go on from the last checkpoint.
  TrainResult run(const TensorMap* fresh);

 private:
  void resume();
  void load_last();
  void open_folder(bool resumed);
  void train_step();
  void train_on(std::optional<Batch> batch, int64_t number, bool last);
  void count(const Learner::Update& done);

  bool row_due() const;
  bool evaluation_due() const;
  bool checkpoint_due() const;
  bool finish_interval();
  void finish_early();
  std::string note_evaluation(const Evaluation& evaluation, SummaryRow& row);
  void save();
  void note_skipped(const std::vector<std::pair<std::string, std::string>>& images);
  double epochs(int64_t step) const {
    return static_cast<double>(step) / static_cast<double>(plan_.per_epoch);
  }
  TrainResult result(bool finished, int signal) const;

  const Recipe& recipe_;
  const Dataset& val_set_;
  const TrainOptions& options_;
  const Group& group_;
  StepPlan plan_;
  Schedule schedule_;
  Batches batches_;
  Learner learner_;
  LoadedNetwork
      model_;  // what checkpoints say about the model; its tensors are filled in by save()
  Checkpoints checkpoints_;
  RunState state_;
  bool saved_ = false;  // a checkpoint holds `state_`
  std::optional<RunLog> log_;
  std::optional<StepLog> report_;
};

Trainer::Trainer(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
                 const TrainOptions& options, const torch::Device& device)
    : recipe_(recipe),
      val_set_(val_set),
      options_(options),
      group_(*options.group),
      plan_(step_plan(recipe, train_set.size())),
      schedule_(schedule_of(recipe, plan_)),
      batches_(recipe, train_set, plan_.total * step_batches(recipe), options.workers,
               {group_.rank(), group_.size()}),
      learner_(recipe, device, group_, cuda_graph(options)),
      checkpoints_(options.workdir, recipe.checkpoint_hist) {
  model_.config = architecture_of(recipe);
  model_.preprocessing = recipe.preprocessing;
  model_.labels = train_set.classes();
  const std::vector<std::string> numbered = numbered_labels(recipe.num_classes);
  for (size_t k = model_.labels.size(); k < numbered.size(); ++k)
    model_.labels.push_back(numbered[k]);
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
  learner_.share_all();
  open_folder(fresh == nullptr);
  if (recipe_.log_model_profile != 0) print_profile(learner_.best_net(), recipe_);
  if (recipe_.log_model_profile > 1) return result(false, 0);  // as the reference
  // A resumed run does not read init_checkpoint, so its first checkpoint is what was read there.
  if (fresh && !recipe_.init_checkpoint.empty()) save();
  const bool asked = group_.highest_of_all(options_.stop()) != 0;  // later each step tells
  while (true) {
    if (row_due() && !finish_interval()) break;
    if (state_.step >= plan_.total) return result(true, 0);
    if (out_of_patience(state_.history, recipe_.patience, recipe_.min_delta)) {
      finish_early();
      return result(true, 0);
    }
    if (asked || learner_.anyone_stops()) break;
    train_step();
    if (checkpoint_due() && !row_due()) save();
  }
  report_->close_bar();
  if (!saved_) save();
  const int signal = group_.highest_of_all(options_.stop());
  log_->write("stop", {{"step", state_.step}, {"signal", static_cast<int64_t>(signal)}});
  return result(false, signal);
}

// ---- beginning ----

void Trainer::resume() {
  if (group_.first()) load_last();
  const std::string state = group_.first_of_all(state_json(state_));
  if (!group_.first()) state_ = parse_state(state, "what rank 0 resumes from");
  saved_ = true;
}

void Trainer::load_last() {
  Checkpoints::Saved saved = checkpoints_.load_last();
  const std::string last = (options_.workdir / "last").string();
  if (saved.state.recipe_digest != state_.recipe_digest || saved.model.config != model_.config ||
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
  learner_.resume(saved.model.tensors, std::move(saved.optimizer));
  state_ = std::move(saved.state);
  checkpoints_.resume_from(state_);
}

// Makes the folder's files tell what `state_` holds, and begins to add to them.
void Trainer::open_folder(bool resumed) {
  std::vector<RunPoint> curve;
  if (group_.first()) {
    Recipe written = recipe_;
    write_file(options_.workdir / "config.yaml",
               "# The recipe of this run, complete: nestvit train --config takes it.\n" +
                   fields(written).to_yaml());
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
                                             {"processes", int64_t{group_.size()}},
                                             {"train_images", state_.train_size},
                                             {"val_images", val_set_.size()},
                                             {"recipe_digest", state_.recipe_digest}});
  print_loop_start({recipe_, plan_, schedule_, learner_.optimizer().groups(), options_.workdir,
                    resumed ? std::optional(state_.step) : std::nullopt});
  report_.emplace(*log_, recipe_, plan_, state_.step, state_.window, std::move(curve));
}

// ---- one step ----

void Trainer::train_step() {
  const int64_t step = ++state_.step;
  saved_ = false;
  const int64_t parts = step_batches(recipe_), end = step * parts;
  const BatchShard shard{group_.rank(), group_.size()};
  double waited = 0;
  for (int64_t number = end - parts + 1; number <= end; ++number) {
    if (!shard.owns(number, parts)) continue;
    std::optional<Batch> batch = batches_.next(number);
    waited += batches_.last_wait();
    train_on(std::move(batch), number, /*last=*/number + group_.size() > end);
  }
  report_->waited(waited);
  const float learning_rate = schedule_.at(step);
  const bool stop = options_.stop() != 0;
  if (const auto done = learner_.update(step, learning_rate, stop)) count(*done);
  report_->step_done(step, learning_rate, row_due());
}

void Trainer::train_on(std::optional<Batch> batch, int64_t number, bool last) {
  if (batch && batch->size > 0) {
    const std::vector<float> targets = batches_.targets(*batch, number);
    learner_.add(*batch, targets, number, last);
  } else if (last) {
    learner_.add_nothing();
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

bool Trainer::evaluation_due() const {
  return state_.step % plan_.per_evaluation == 0 || state_.step == plan_.total;
}

bool Trainer::checkpoint_due() const {
  return recipe_.checkpoint_every_steps > 0 && state_.step % recipe_.checkpoint_every_steps == 0;
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
  std::optional<Evaluation> evaluation;
  if (evaluation_due()) {
    learner_.average_statistics();
    evaluation = evaluate_all(learner_.best_net(), val_set_, recipe_,
                              {options_.workers, options_.stop}, group_);
    if (!evaluation) return false;
    line += note_evaluation(*evaluation, row);
  }
  state_.history.push_back(row);
  state_.loss_sum = 0;
  state_.loss_steps = 0;
  saved_ = false;
  if (evaluation || checkpoint_due()) save();
  if (group_.first()) write_summary(options_.workdir, state_.history);
  if (evaluation && group_.first())
    write_report(options_.workdir, {recipe_, plan_, state_, report_->curve(), val_set_,
                                    model_.labels, evaluation->metrics, evaluation->examples});
  log_info(line + fmt::format("  ({})", human_duration(report_->end_interval())));
  return true;
}

// Into the row, the best so far and the log; returns what the terminal says of it.
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

void Trainer::finish_early() {
  log_->write(
      "early_stop",
      {{"step", state_.step}, {"best_step", state_.best_step}, {"best_top1", state_.best_top1}});
  log_info(
      fmt::format("finished early: no better top-1 in {} evaluation{}; to go on: --resume with "
                  "a larger --patience",
                  recipe_.patience, recipe_.patience == 1 ? "" : "s"));
}

void Trainer::note_skipped(const std::vector<std::pair<std::string, std::string>>& images) {
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
  // Workers meet them in any order.
  std::sort(state_.skipped.begin(), state_.skipped.end());
}

void Trainer::save() {
  note_skipped(names_of_all(batches_.skipped(), group_));
  learner_.average_statistics();
  saved_ = true;
  if (!group_.first()) return;
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

// Whether there is a checkpoint to go on from. A run that was killed before its first one begins
// anew.
bool goes_on(const Recipe& recipe, const TrainOptions& options) {
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
  log_info(fmt::format("{} has no checkpoint yet: the run begins anew", workdir));
  return false;
}

// They only save time: a run goes on without.
void save_indexes(const std::filesystem::path& workdir, const Dataset& train_set,
                  const Dataset& val_set) {
  try {
    train_set.save_index(index_file(workdir, "train"));
    val_set.save_index(index_file(workdir, "val"));
  } catch (const Error& error) {
    log_warning(fmt::format("no index of the data is kept: {}", error.what()));
  }
}

}  // namespace

TrainResult train(const Recipe& recipe, const Dataset& train_set, const Dataset& val_set,
                  const TrainOptions& options) {
  // A wrong recipe, or weights that do not fit, leave no folder behind.
  schedule_of(recipe, step_plan(recipe, train_set.size()));
  check_cuda_graph(recipe, options);
  const Group& group = *options.group;
  if (group.size() > step_batches(recipe))
    throw UsageError(
        fmt::format("{} processes, but a step has {} batch{}: some would have nothing "
                    "to do",
                    group.size(), step_batches(recipe), step_batches(recipe) == 1 ? "" : "es"),
        fmt::format("start {} or fewer", step_batches(recipe)));
  if (recipe.sync_bn && step_batches(recipe) % group.size() != 0)
    throw UsageError(fmt::format("sync_bn with {} processes for the {} batches of a step: some "
                                 "would wait for statistics of batches that others do not have",
                                 group.size(), step_batches(recipe)),
                     "start a number of processes that divides the batches");
  const bool resumed =
      group.first_of_all(group.first() && goes_on(recipe, options) ? "resume" : "") == "resume";
  std::optional<TensorMap> fresh;
  if (!resumed) fresh = starting_tensors(recipe, options.weights);
  prepare_process(options.threads);
  const torch::Device device = open_device(options.device, recipe.amp);
  choose_backend_of_all(group, device);
  std::optional<FolderLock> lock;
  if (group.first()) {
    make_workdir(options.workdir);
    lock.emplace(options.workdir);
    save_indexes(options.workdir, train_set, val_set);
  }
  return Trainer(recipe, train_set, val_set, options, device).run(fresh ? &*fresh : nullptr);
}

}  // namespace nestvit::train

// Checkpoints of a run: WORKDIR/checkpoints/step-N/{config.json, model.safetensors,
// optimizer.safetensors, state.json, checksums.json}, each folder written beside and renamed;
// WORKDIR/last and WORKDIR/best link to two of them. A step folder is a model directory
// (weights/model_dir.h) plus what training needs to go on, and sums by which damage is noticed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weights/model_dir.h"

namespace nestvit {

// One line of summary.csv.
struct SummaryRow {
  int64_t step = 0;
  double epoch = 0;                                       // passes done
  std::optional<double> train_loss;                       // unset: nothing was trained
  std::optional<double> eval_loss, eval_top1, eval_top5;  // unset: not evaluated here
  double learning_rate = 0;

  bool operator==(const SummaryRow&) const = default;
};

// Sums over steps (reference.md F.4).
struct StepSums {
  int64_t steps = 0, images = 0, correct = 0;
  double loss = 0, loss_squared = 0, gradient_norm = 0;

  bool operator==(const StepSums&) const = default;
};

// What a run must remember beside weights and optimiser. The next sample is step * batch size,
// counted over epochs.
struct RunState {
  int64_t step = 0;
  int64_t batch_size = 0;
  int64_t train_size = 0;
  int64_t best_step = -1;  // -1: never evaluated
  double best_top1 = 0;
  double loss_sum = 0;  // over the steps since the last row
  int64_t loss_steps = 0;
  StepSums window;  // since the last "train" line of log.jsonl
  std::vector<SummaryRow> history;
  std::vector<std::pair<std::string, std::string>>
      skipped;  // images left out: name, reason; sorted
  std::string recipe_digest;

  bool operator==(const RunState&) const = default;
};

std::string state_json(const RunState& state);
// Throws Error that names `origin`.
RunState parse_state(const std::string& text, const std::string& origin);

// Throws UsageError when `workdir` holds checkpoints of a run.
void refuse_used(const std::filesystem::path& workdir);
// Throws Error when it cannot be made.
void make_workdir(const std::filesystem::path& workdir);

// The index of the data's part "train" or "val" in a run's folder: DatasetOptions::index. train()
// writes it.
std::filesystem::path index_file(const std::filesystem::path& workdir, const std::string& part);

class Checkpoints {
 public:
  // `keep`: how many of the newest stay, beside the best and the last.
  Checkpoints(std::filesystem::path workdir, int keep);

  // Whether `workdir` holds a checkpoint to go on from.
  bool any() const;

  // Writes step-N, points `last` at it, and `best` when state.best_step is this step; then removes
  // old ones. On the disk when it returns. When the disk is full, throws Error and leaves
  // everything as it was.
  void save(const RunState& state, const LoadedNetwork& model, const TensorMap& optimizer) const;

  struct Saved {
    RunState state;
    LoadedNetwork model;
    TensorMap optimizer;
  };
  // The newest checkpoint that is whole; a warning names those that are not. Throws Error when
  // there is none.
  Saved load_last() const;

  // Clears the way for a run that goes on from `state`: removes what a crash left half written or
  // half removed, sets damaged checkpoints that are newer aside, points both links at what is
  // there.
  void go_on_from(const RunState& state) const;

 private:
  std::filesystem::path step_path(int64_t step) const;
  void link(const std::string& name, int64_t step) const;
  void prune(const RunState& state) const;

  std::filesystem::path workdir_;
  int keep_;
};

}  // namespace nestvit

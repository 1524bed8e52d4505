// state.json of a checkpoint: what a run must remember beside weights and optimiser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

// Where a run stands. The next sample is step * batch size,
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
  // Images left out: name, reason; sorted.
  std::vector<std::pair<std::string, std::string>> skipped;
  std::string recipe_digest;

  bool operator==(const RunState&) const = default;
};

std::string state_json(const RunState& state);
// Of text that may be damaged. Throws Error that names `origin`.
RunState parse_state(const std::string& text, const std::string& origin);

}  // namespace nestvit

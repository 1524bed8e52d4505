// Checkpoints of a run: WORKDIR/checkpoints/step-N/{config.json, model.safetensors,
// optimizer.safetensors, state.json, checksums.json}, each folder written beside and renamed;
// WORKDIR/last and WORKDIR/best lead to two of them (base/system/pointer.h). A step folder is a
// model directory (weights/model_dir.h) plus what training needs to resume, and checksums that show
// damage.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "run/record/state.h"
#include "weights/model_dir.h"

namespace nestvit {

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

  // Whether `workdir` holds a checkpoint to resume from.
  bool any() const;

  // Writes step-N, points `last` at it, and `best` when state.best_step is this step; then removes
  // old ones. All is on the disk when it returns. When the disk is full, throws Error and leaves
  // everything unchanged.
  void save(const RunState& state, const LoadedNetwork& model, const TensorMap& optimizer) const;

  struct Saved {
    RunState state;
    LoadedNetwork model;
    TensorMap optimizer;
  };
  // The newest checkpoint that is whole; a warning names those that are not. Throws Error when
  // there is none.
  Saved load_last() const;

  // Prepares the folder for a run that resumes from `state`: removes folders that a crash left half
  // written or half removed, sets newer, damaged checkpoints aside, mends both links.
  void resume_from(const RunState& state) const;

 private:
  std::filesystem::path step_path(int64_t step) const;
  void link(const std::string& name, int64_t step) const;
  void prune(const RunState& state) const;

  std::filesystem::path workdir_;
  int keep_;
};

}  // namespace nestvit

// Writing, linking, pruning and reading the checkpoints of a run.
#include "run/record/checkpoint.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/system/pointer.h"
#include "run/record/checksums.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFolder = "checkpoints";
constexpr const char* kPrefix = "step-";
constexpr const char* kRemoved = ".removed-";
constexpr const char* kSetAside = ".damaged";
constexpr uint64_t kMaxStateBytes = 256 << 20;

// The steps that have a finished folder, ascending.
std::vector<int64_t> saved_steps(const fs::path& workdir) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (fs::directory_iterator it(workdir / kFolder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    const char* first = name.data() + std::strlen(kPrefix);
    const char* last = name.data() + name.size();
    int64_t step = 0;
    const auto [stop, status] = std::from_chars(first, last, step);
    if (status == std::errc() && stop == last) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

Checkpoints::Saved load(const fs::path& folder) {
  verify_checksums(folder);
  Checkpoints::Saved saved;
  saved.state = parse_state(read_text(folder / "state.json", kMaxStateBytes),
                            (folder / "state.json").string());
  saved.model = load_network(folder);
  saved.optimizer = read_safetensors(folder / "optimizer.safetensors");
  return saved;
}

}  // namespace

fs::path index_file(const fs::path& workdir, const std::string& part) {
  return workdir / (part + ".index");
}

void refuse_used(const fs::path& workdir) {
  if (Checkpoints(workdir, 1).any())
    throw UsageError(fmt::format("{} already holds checkpoints", workdir.string()),
                     "add --resume to go on from them, or choose another --workdir");
}

void make_workdir(const fs::path& workdir) {
  std::error_code error;
  fs::create_directories(workdir, error);
  if (error)
    throw Error(fmt::format("cannot make {}: {}", workdir.string(), error.message()),
                "choose another --workdir");
}

Checkpoints::Checkpoints(fs::path workdir, int keep) : workdir_(std::move(workdir)), keep_(keep) {}

bool Checkpoints::any() const { return !saved_steps(workdir_).empty(); }

fs::path Checkpoints::step_path(int64_t step) const {
  return workdir_ / kFolder / fmt::format("{}{}", kPrefix, step);
}

void Checkpoints::save(const RunState& state, const LoadedNetwork& model,
                       const TensorMap& optimizer) const {
  const fs::path path = step_path(state.step);
  try {
    write_directory(path, [&](const fs::path& folder) {
      save_model(folder, model);
      write_safetensors(folder / "optimizer.safetensors", optimizer);
      write_file(folder / "state.json", state_json(state));
      write_checksums(folder);
    });
  } catch (const Error& e) {
    throw Error(fmt::format("cannot save {}: {}", path.string(), e.what()),
                fmt::format("{}; then: nestvit train --resume {}",
                            e.hint().empty() ? "remove the cause" : e.hint(), workdir_.string()));
  }
  link("last", state.step);
  if (state.best_step == state.step) link("best", state.step);
  prune(state);
}

void Checkpoints::link(const std::string& name, int64_t step) const {
  const fs::path path = workdir_ / name;
  std::error_code ignored;
  const bool first = !fs::exists(path, ignored);
  const bool linked = point(path, fs::path(kFolder) / step_path(step).filename());
  if (!linked && first)
    log_info(fmt::format("{} is a text file that --model reads: there are no links here",
                         path.string()));
}

void Checkpoints::prune(const RunState& state) const {
  std::vector<int64_t> steps = saved_steps(workdir_);
  std::erase_if(steps, [&](int64_t step) { return step == state.step || step == state.best_step; });
  const auto stay = static_cast<size_t>(keep_ - 1);  // the one just written is the newest
  if (steps.size() <= stay) return;
  steps.resize(steps.size() - stay);
  for (const int64_t step : steps) {
    // Renamed first, so that a crash in between never leaves half a folder under a good name.
    const fs::path removed = workdir_ / kFolder / fmt::format("{}{}{}", kRemoved, kPrefix, step);
    std::error_code ignored;
    fs::rename(step_path(step), removed, ignored);
    fs::remove_all(removed, ignored);
  }
}

void Checkpoints::resume_from(const RunState& state) const {
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::directory_iterator it(workdir_ / kFolder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(kRemoved) || name.starts_with(std::string(".") + kPrefix))
      leftovers.push_back(it->path());
  }
  for (const fs::path& path : leftovers) fs::remove_all(path, error);
  // Under their names they would count among the newest, and prune() would remove intact ones.
  for (const int64_t step : saved_steps(workdir_)) {
    if (step <= state.step) continue;
    const fs::path aside = step_path(step).string() + kSetAside;
    fs::remove_all(aside, error);
    fs::rename(step_path(step), aside, error);
  }
  link("last", state.step);
  if (state.best_step >= 0 && fs::exists(step_path(state.best_step)))
    link("best", state.best_step);
  else
    fs::remove(workdir_ / "best", error);  // made again at that step
}

Checkpoints::Saved Checkpoints::load_last() const {
  const std::vector<int64_t> steps = saved_steps(workdir_);
  if (steps.empty())
    throw Error(fmt::format("{} holds no checkpoint to resume from", workdir_.string()),
                "give the --workdir of a run that was started, or leave --resume out");
  std::string damage;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      Saved saved = load(step_path(*step));
      if (!damage.empty())
        log_warning(fmt::format("damaged, and set aside: {}. Going on from {}{} instead", damage,
                                kPrefix, *step));
      return saved;
    } catch (const std::exception& e) {
      damage += fmt::format("{}{}{} ({})", damage.empty() ? "" : ", ", kPrefix, *step, e.what());
    }
  }
  throw Error(
      fmt::format("no checkpoint in {} is whole: {}", (workdir_ / kFolder).string(), damage),
      "restore the folder from a copy, or start anew in another --workdir");
}

}  // namespace nestvit

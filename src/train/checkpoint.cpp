// Writing, linking, pruning and reading the checkpoints of a run.
#include "train/checkpoint.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "weights/safetensors.h"

namespace nestvit::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFolder = "checkpoints";
constexpr const char* kPrefix = "step-";
constexpr const char* kRemoved = ".removed-";
constexpr uint64_t kMaxStateBytes = 256 << 20;

Json number_or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::optional<double> optional_number(const Json& value) {
  if (value.is_null()) return std::nullopt;
  return value.get<double>();
}

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

RunState from_json(const Json& json) {
  RunState state;
  state.step = json.at("step").get<int64_t>();
  state.batch_size = json.at("batch_size").get<int64_t>();
  state.train_size = json.at("train_size").get<int64_t>();
  if (!json.at("best").is_null()) {
    state.best_step = json.at("best").at("step").get<int64_t>();
    state.best_top1 = json.at("best").at("top1").get<double>();
  }
  state.loss_sum = json.at("loss_sum").get<double>();
  state.loss_steps = json.at("loss_steps").get<int64_t>();
  for (const Json& row : json.at("history"))
    state.history.push_back({row.at("step").get<int64_t>(), row.at("epoch").get<double>(),
                             optional_number(row.at("train_loss")),
                             optional_number(row.at("eval_loss")),
                             optional_number(row.at("eval_top1")),
                             optional_number(row.at("eval_top5")), row.at("lr").get<double>()});
  for (const Json& image : json.at("skipped"))
    state.skipped.emplace_back(image.at("image").get<std::string>(),
                               image.at("reason").get<std::string>());
  state.recipe_digest = json.at("recipe_digest").get<std::string>();
  if (state.step < 0 || state.batch_size < 1 || state.train_size < 1 || state.loss_steps < 0)
    throw Error("a number is out of range");
  return state;
}

}  // namespace

std::string state_json(const RunState& state) {
  Json json;
  json["step"] = state.step;
  json["batch_size"] = state.batch_size;
  json["train_size"] = state.train_size;
  const int64_t samples = state.step * state.batch_size;
  json["epoch"] =
      samples / std::max<int64_t>(1, state.train_size);  // for readers; step says it all
  json["position"] = samples % std::max<int64_t>(1, state.train_size);
  json["best"] = state.best_step < 0 ? Json(nullptr)
                                     : Json{{"step", state.best_step}, {"top1", state.best_top1}};
  json["loss_sum"] = state.loss_sum;
  json["loss_steps"] = state.loss_steps;
  json["recipe_digest"] = state.recipe_digest;
  json["history"] = Json::array();
  for (const SummaryRow& row : state.history)
    json["history"].push_back({{"step", row.step},
                               {"epoch", row.epoch},
                               {"train_loss", number_or_null(row.train_loss)},
                               {"eval_loss", number_or_null(row.eval_loss)},
                               {"eval_top1", number_or_null(row.eval_top1)},
                               {"eval_top5", number_or_null(row.eval_top5)},
                               {"lr", row.learning_rate}});
  json["skipped"] = Json::array();
  for (const auto& [image, reason] : state.skipped)
    json["skipped"].push_back({{"image", image}, {"reason", reason}});
  // File names need not be UTF-8.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

RunState parse_state(const std::string& text, const std::string& origin) {
  try {
    return from_json(Json::parse(text));
  } catch (const std::exception& e) {
    throw Error(fmt::format("{} is no training state: {}", origin, e.what()),
                "the file is truncated or damaged");
  }
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

void Checkpoints::save(const RunState& state, const AnyModel& model,
                       const TensorMap& optimizer) const {
  write_directory(step_path(state.step), [&](const fs::path& folder) {
    save_model(folder, model);
    write_safetensors(folder / "optimizer.safetensors", optimizer);
    write_file(folder / "state.json", state_json(state));
  });
  link("last", state.step);
  if (state.best_step == state.step) link("best", state.step);
  prune(state);
}

void Checkpoints::link(const std::string& name, int64_t step) const {
  const fs::path target = fs::path(kFolder) / step_path(step).filename();
  const fs::path temporary = workdir_ / ("." + name + ".tmp");
  ::unlink(temporary.c_str());
  if (::symlink(target.c_str(), temporary.c_str()) != 0 ||
      ::rename(temporary.c_str(), (workdir_ / name).c_str()) != 0)
    throw Error(fmt::format("cannot link {} to {}: {}", (workdir_ / name).string(), target.string(),
                            std::strerror(errno)));
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

void Checkpoints::sweep() const {
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::directory_iterator it(workdir_ / kFolder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(kRemoved) || name.starts_with(std::string(".") + kPrefix))
      leftovers.push_back(it->path());
  }
  for (const fs::path& path : leftovers) fs::remove_all(path, error);
}

Checkpoints::Saved Checkpoints::load_last() const {
  const fs::path folder = workdir_ / "last";
  const std::vector<int64_t> steps = saved_steps(workdir_);
  if (steps.empty())
    throw Error(fmt::format("{} holds no checkpoint to resume from", workdir_.string()),
                "give the --workdir of a run that was started, or leave --resume out");
  try {
    Saved saved;
    saved.state = parse_state(read_text(folder / "state.json", kMaxStateBytes),
                              (folder / "state.json").string());
    saved.model = load_any_model(folder);
    saved.optimizer = read_safetensors(folder / "optimizer.safetensors");
    return saved;
  } catch (const Error& e) {
    std::string others;
    for (const int64_t step : steps)
      others += fmt::format("{}{}{}", others.empty() ? "" : ", ", kPrefix, step);
    throw Error(fmt::format("cannot resume from {}: {}", folder.string(), e.what()),
                fmt::format("there are {}; to go on from another one: ln -sfn {}/step-N {}", others,
                            kFolder, folder.string()));
  }
}

}  // namespace nestvit::train

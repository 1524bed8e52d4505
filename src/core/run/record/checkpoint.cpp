// Writing, linking, pruning and reading the checkpoints of a run.
#include "run/record/checkpoint.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/log.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFolder = "checkpoints";
constexpr const char* kPrefix = "step-";
constexpr const char* kRemoved = ".removed-";
constexpr const char* kChecksums = "checksums.json";
constexpr const char* kSetAside = ".damaged";
constexpr uint64_t kMaxStateBytes = 256 << 20;

// JSON has no word for a loss that is no number.
Json number_or_null(const std::optional<double>& value) {
  if (!value) return nullptr;
  return std::isfinite(*value) ? Json(*value) : Json(fmt::format("{}", *value));
}

std::optional<double> optional_number(const Json& value) {
  if (value.is_null()) return std::nullopt;
  return value.is_string() ? std::stod(value.get<std::string>()) : value.get<double>();
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

Json sums_json(const StepSums& sums) {
  return {{"steps", sums.steps},
          {"images", sums.images},
          {"correct", sums.correct},
          {"loss", sums.loss},
          {"loss_squared", sums.loss_squared},
          {"gradient_norm", sums.gradient_norm}};
}

StepSums sums_of(const Json& json) {
  return {json.at("steps").get<int64_t>(),       json.at("images").get<int64_t>(),
          json.at("correct").get<int64_t>(),     json.at("loss").get<double>(),
          json.at("loss_squared").get<double>(), json.at("gradient_norm").get<double>()};
}

std::string checksum(const fs::path& path) {
  return fmt::format("{:08x}", crc32c(MappedFile::open(path)->bytes()));
}

// Of every file in the finished folder.
void write_checksums(const fs::path& folder) {
  Json sums;
  for (const auto& entry : fs::directory_iterator(folder))
    sums[entry.path().filename().string()] = {{"bytes", fs::file_size(entry.path())},
                                              {"crc32c", checksum(entry.path())}};
  write_file(folder / kChecksums, sums.dump(1) + "\n");
}

// Throws Error that names a file that is missing or is not as it was written: a power cut or a bad
// disk leaves zeros in the middle of a file that still parses.
void verify_checksums(const fs::path& folder) {
  const fs::path list = folder / kChecksums;
  const Json sums = Json::parse(read_text(list), nullptr, /*allow_exceptions=*/false);
  if (!sums.is_object()) throw Error(fmt::format("{} is damaged", list.string()));
  for (const auto& [name, sum] : sums.items()) {
    const fs::path file = folder / name;
    if (!fs::exists(file)) throw Error(fmt::format("{} is missing", file.string()));
    if (!sum.is_object() || sum.value("bytes", uintmax_t{0}) != fs::file_size(file))
      throw Error(fmt::format("{} has {} bytes, not as many as were written", file.string(),
                              fs::file_size(file)));
    if (sum.value("crc32c", "") != checksum(file))
      throw Error(fmt::format("{} is not what was written: its checksum differs", file.string()));
  }
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
  state.window = sums_of(json.at("window"));
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

fs::path index_file(const fs::path& workdir, const std::string& part) {
  return workdir / (part + ".index");
}

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
  json["window"] = sums_json(state.window);
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
  const fs::path target = fs::path(kFolder) / step_path(step).filename();
  const fs::path temporary = workdir_ / ("." + name + ".tmp");
  ::unlink(temporary.c_str());
  if (::symlink(target.c_str(), temporary.c_str()) != 0 ||
      ::rename(temporary.c_str(), (workdir_ / name).c_str()) != 0)
    throw Error(fmt::format("cannot link {} to {}: {}", (workdir_ / name).string(), target.string(),
                            std::strerror(errno)),
                write_error_hint(workdir_ / name, errno));
  sync_folder(workdir_);
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

void Checkpoints::go_on_from(const RunState& state) const {
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::directory_iterator it(workdir_ / kFolder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(kRemoved) || name.starts_with(std::string(".") + kPrefix))
      leftovers.push_back(it->path());
  }
  for (const fs::path& path : leftovers) fs::remove_all(path, error);
  // Kept under their names they would count among the newest, and prune() remove whole ones.
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
    fs::remove(workdir_ / "best", error);  // made again when the run comes there
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

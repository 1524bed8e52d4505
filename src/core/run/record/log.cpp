// summary.csv, log.jsonl and event files.
#include "run/record/log.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include "base/file.h"
#include "base/json.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

std::string cell(const std::optional<double>& value) {
  return value ? fmt::format("{:.6g}", *value) : "";
}

// The numbers that TensorBoard shows, by event and key: the official code's tags and the usual
// ones.
struct Tag {
  const char *event, *key, *tag;
};
constexpr Tag kTags[] = {
    {"train", "loss", "loss"},
    {"train", "loss", "train/loss"},
    {"train", "loss_std", "loss_std"},
    {"train", "train_accuracy", "train_accuracy"},
    {"train", "l2_grads", "l2_grads"},
    {"train", "l2_grads", "train/grad_norm"},
    {"train", "learning_rate", "learning_rate"},
    {"train", "learning_rate", "train/lr"},
    {"train", "images_per_s", "perf/images_per_sec"},
    {"train", "data_wait", "perf/data_wait"},
    {"eval", "eval_loss", "eval_loss"},
    {"eval", "eval_loss", "val/loss"},
    {"eval", "accuracy", "accuracy"},
    {"eval", "top1", "val/top1"},
    {"eval", "top5", "val/top5"},
};

int64_t step_of(const nlohmann::json& line) {
  const auto found = line.find("step");
  return found != line.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

// Whether the run had written this line when `state` was saved.
bool known(const nlohmann::json& line, const RunState& state) {
  if (!line.is_object()) return false;
  const auto name = line.value("event", "");
  if (name == "skipped") {
    const std::pair image(line.value("image", ""), line.value("reason", ""));
    return std::find(state.skipped.begin(), state.skipped.end(), image) != state.skipped.end();
  }
  const int64_t step = step_of(line);
  if (name != "eval") return step <= state.step;
  // A run that is stopped while it evaluates has the step, but not yet its row.
  return std::any_of(state.history.begin(), state.history.end(), [&](const SummaryRow& row) {
    return row.step == step && row.eval_top1.has_value();
  });
}

std::optional<double> number_of(const nlohmann::json& line, const char* key) {
  const auto found = line.find(key);
  if (found == line.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

RunPoint train_point(const nlohmann::json& line) {
  RunPoint point;
  point.step = step_of(line);
  point.epoch = number_of(line, "epoch").value_or(0);
  point.learning_rate = number_of(line, "learning_rate");
  point.images_per_second = number_of(line, "images_per_s");
  if (const auto share = number_of(line, "data_wait")) point.data_wait = 100 * *share;
  return point;
}

bool holds_events(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().filename().string().starts_with("events.out.tfevents.")) return true;
  return false;
}

}  // namespace

void write_summary(const fs::path& workdir, const std::vector<SummaryRow>& history) {
  std::string text = "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n";
  for (const SummaryRow& row : history)
    text += fmt::format("{:.6g},{},{},{},{},{:.6g}\n", row.epoch, cell(row.train_loss),
                        cell(row.eval_loss), cell(row.eval_top1), cell(row.eval_top5),
                        row.learning_rate);
  write_file(workdir / "summary.csv", text);
}

std::vector<RunPoint> keep_known_lines(std::istream& log, const RunState& state,
                                       const std::function<void(const std::string&)>& keep) {
  std::vector<RunPoint> points;
  for (std::string text; std::getline(log, text);) {
    try {
      const nlohmann::json line = parse_json(text);
      if (!known(line, state)) continue;
      if (line.value("event", "") == "train") points.push_back(train_point(line));
    } catch (const std::exception&) {
      continue;  // unfinished, or zeros after a power cut
    }
    keep(text);
  }
  return points;
}

std::vector<RunPoint> cut_log(const fs::path& workdir, const RunState& state) {
  const fs::path path = workdir / "log.jsonl";
  std::ifstream log(path);
  if (!log) return {};
  AtomicFile kept(path);
  std::vector<RunPoint> points = keep_known_lines(log, state, [&kept](const std::string& line) {
    const std::string whole = line + '\n';
    kept.write(std::as_bytes(std::span(whole)));
  });
  kept.commit();
  return points;
}

RunLog::RunLog(const fs::path& workdir) : path_(workdir / "log.jsonl") {
  file_.reset(std::fopen(path_.c_str(), "ae"));
  if (!file_) fail();
}

void RunLog::fail() const {
  const int error = errno;
  throw Error(fmt::format("cannot write {}: {}", path_.string(), std::strerror(error)),
              write_error_hint(path_, error));
}

void RunLog::sync() {
  if (!file_) return;
  if (std::fflush(file_.get()) != 0 || !sync_file(::fileno(file_.get()))) fail();
  if (events_) events_->flush();
}

void RunLog::write(const std::string& name,
                   std::initializer_list<std::pair<const char*, Value>> values) {
  if (!file_) return;
  nlohmann::ordered_json json;
  json["event"] = name;
  json["time"] =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  for (const auto& [key, value] : values)
    std::visit([&, k = key](const auto& v) { json[k] = v; }, value);
  const std::string line =
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() ||
      std::fflush(file_.get()) != 0)
    fail();
  write_scalars(name, values);
}

void RunLog::write_scalars(const std::string& name,
                           std::initializer_list<std::pair<const char*, Value>> values) {
  const auto number = [&values](std::string_view wanted) -> std::optional<double> {
    for (const auto& [key, value] : values)
      if (key == wanted)
        return std::visit(
            [](const auto& v) -> std::optional<double> {
              if constexpr (requires { static_cast<double>(v); })
                return static_cast<double>(v);
              else
                return std::nullopt;
            },
            value);
    return std::nullopt;
  };
  const auto step = static_cast<int64_t>(number("step").value_or(0));
  if ((name == "start" || name == "resume") && holds_events(path_.parent_path()))
    events_.emplace(EventOptions{path_.parent_path(), step + 1, {}, {}, {}});
  for (const Tag& tag : kTags) {
    if (name != tag.event) continue;
    const auto value = number(tag.key);
    if (!value) continue;
    if (!events_) events_.emplace(EventOptions{path_.parent_path(), {}, {}, {}, {}});
    events_->add_scalar(tag.tag, *value, step);
  }
  if (events_ && name != "train") events_->flush();
}

}  // namespace nestvit

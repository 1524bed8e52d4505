// summary.csv, log.jsonl and event files.
#include "train/run_log.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace nestvit::train {
namespace {

namespace fs = std::filesystem;

std::string cell(const std::optional<double>& value) {
  return value ? fmt::format("{:.6g}", *value) : "";
}

// The numbers that TensorBoard shows, by event and key: the official code's tags and the usual
// ones.
struct Tag {
  const char *event, *key, *tag;
  double scale = 1;
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
    {"eval", "top1", "accuracy", 0.01},  // a share there, percent here
    {"eval", "top1", "val/top1"},
    {"eval", "top5", "val/top5"},
};

void cut_unfinished_line(const fs::path& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  if (error || size == 0) return;
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  size_t end = bytes.size();
  while (end > 0 && bytes[end - 1] != std::byte{'\n'}) --end;
  if (end != bytes.size()) fs::resize_file(path, end);
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

RunLog::RunLog(const fs::path& workdir) : path_(workdir / "log.jsonl") {
  cut_unfinished_line(path_);
  file_.reset(std::fopen(path_.c_str(), "ae"));
  if (!file_) throw Error(fmt::format("cannot write {}: {}", path_.string(), std::strerror(errno)));
}

void RunLog::write(const std::string& name,
                   std::initializer_list<std::pair<const char*, Value>> values) {
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
    throw Error(fmt::format("cannot write {}: {}", path_.string(), std::strerror(errno)),
                "free some space, then go on with --resume");
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
  if (name == "resume") events_.emplace(EventOptions{path_.parent_path(), step + 1, {}, {}, {}});
  for (const Tag& tag : kTags) {
    if (name != tag.event) continue;
    const auto value = number(tag.key);
    if (!value) continue;
    if (!events_) events_.emplace(EventOptions{path_.parent_path(), {}, {}, {}, {}});
    events_->add_scalar(tag.tag, *value * tag.scale, step);
  }
  if (events_ && name != "train") events_->flush();
}

}  // namespace nestvit::train

// The records of a run beside its checkpoints: summary.csv (one row per epoch or evaluation),
// log.jsonl (one JSON object per event, flushed as it happens) and TensorBoard's event files.
#pragma once

#include <cstdio>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "report/events.h"
#include "report/page.h"
#include "run/record/state.h"

namespace nestvit {

// Written whole from the history that checkpoints keep: one header, no row twice, also after a
// resume.
void write_summary(const std::filesystem::path& workdir, const std::vector<SummaryRow>& history);

// Cuts WORKDIR/log.jsonl back to the lines that the checkpoint `state` knows of: the resumed run
// writes later ones again, and a crash may have left the last one unfinished. Returns speed and
// learning rate of the "train" lines that stay.
std::vector<RunPoint> cut_log(const std::filesystem::path& workdir, const RunState& state);

// The lines of `log` that `state` knows of go to `keep`. Returns as cut_log.
std::vector<RunPoint> keep_known_lines(std::istream& log, const RunState& state,
                                       const std::function<void(const std::string&)>& keep);

class RunLog {
 public:
  using Value = std::variant<int64_t, double, std::string>;

  // Appends to WORKDIR/log.jsonl. Opens WORKDIR/events.out.tfevents.* at the first number that
  // TensorBoard shows, or at once at "start" or "resume" in a folder that holds such files: their
  // curves then end at that step.
  explicit RunLog(const std::filesystem::path& workdir);
  RunLog() = default;  // writes nothing: another process of the run does

  // {"event": name, "time": seconds since 1970, ...}, and the numbers that have a tag to
  // TensorBoard, at "step". Throws Error when the disk is full.
  void write(const std::string& name, std::initializer_list<std::pair<const char*, Value>> values);
  // All lines are on the disk when it returns.
  void sync();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  [[noreturn]] void fail() const;
  void write_scalars(const std::string& name,
                     std::initializer_list<std::pair<const char*, Value>> values);

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::optional<EventWriter> events_;
};

}  // namespace nestvit

// What a run writes down beside checkpoints: summary.csv (one row per epoch or evaluation) and
// log.jsonl (one JSON object per event, flushed as it happens).
#pragma once

#include <cstdio>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "train/checkpoint.h"

namespace nestvit::train {

// Written whole from the history that checkpoints keep: one header, no row twice, also after a
// resume.
void write_summary(const std::filesystem::path& workdir, const std::vector<SummaryRow>& history);

class RunLog {
 public:
  using Value = std::variant<int64_t, double, std::string>;

  // Appends to WORKDIR/log.jsonl; cuts off a last line that a crash left unfinished.
  explicit RunLog(const std::filesystem::path& workdir);

  // {"event": name, "time": seconds since 1970, ...}. Throws Error when the disk is full.
  void write(const std::string& name, std::initializer_list<std::pair<const char*, Value>> values);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace nestvit::train

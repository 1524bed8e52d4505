// Standard output is flushed after each batch, a file grows beside its place.
#include "cli/program/answers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "cli/program/standard_output.h"

namespace nestvit::cli {

std::string format_of(const std::string& format, const std::string& output,
                      const std::vector<std::string>& known) {
  if (!format.empty()) return format;
  const std::string extension = std::filesystem::path(output).extension().string();
  const auto found = std::find_if(known.begin(), known.end(),
                                  [&](const std::string& name) { return extension == "." + name; });
  return found == known.end() ? "table" : *found;
}

bool shows_progress(const std::string& output) {
  return stderr_is_terminal() && (!output.empty() || isatty(STDOUT_FILENO) == 0);
}

Sink::Sink(const std::string& output) {
  if (!output.empty()) file_.emplace(output, AtomicFile::Unfinished::kKept);
}

void Sink::send(const std::string& text) {
  if (file_) return file_->write(text);
  fmt::print("{}", text);
  flush_output();
}

void Sink::commit() {
  if (file_) file_->commit();
}

void Sink::say_unfinished() const {
  if (!file_ || file_->unfinished().empty()) return;
  std::error_code ignored;
  if (std::filesystem::file_size(file_->unfinished(), ignored) > 0 && !ignored)
    log_info(fmt::format("the answers so far are in {}", file_->unfinished().string()));
}

}  // namespace nestvit::cli

// Messages and the progress bar, on stderr.
#include "base/log.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>

namespace nestvit {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBarWidth = 24;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::atomic<bool> silent = false;

int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

}  // namespace

void log_info(const std::string& message) {
  if (!silent) fmt::print(stderr, "{}\n", message);
}
void log_warning(const std::string& message) {
  if (!silent) fmt::print(stderr, "warning: {}\n", message);
}
void log_nothing() { silent = true; }

bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

std::string human_duration(double seconds) {
  const int64_t s = std::llround(std::clamp(seconds, 0.0, 1e9));
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string human_count(int64_t count) {
  std::string text = fmt::format("{}", count < 0 ? -count : count);
  for (auto at = static_cast<int>(text.size()) - 3; at > 0; at -= 3) text.insert(at, ",");
  return count < 0 ? "-" + text : text;
}

Progress::Progress(std::string label, int64_t total, double plain_interval_s)
    : label_(std::move(label)),
      total_(std::max<int64_t>(total, 1)),
      interval_s_(plain_interval_s),
      terminal_(stderr_is_terminal()),
      start_(Clock::now()),
      last_(start_) {
  if (terminal_) interval_s_ = 0.1;
}

Progress::~Progress() {
  if (!finished_ && drawn_ && terminal_) fmt::print(stderr, "\n");
}

bool Progress::due() const { return seconds_since(last_) >= interval_s_; }

void Progress::update(int64_t done, const std::string& detail) {
  done_ = done;
  if (due()) draw(detail, false);
}

void Progress::finish(const std::string& detail) {
  if (finished_) return;
  done_ = total_;
  draw(detail, true);
  finished_ = true;
}

void Progress::draw(const std::string& detail, bool last) {
  if (silent) return;
  last_ = Clock::now();
  drawn_ = true;
  const double elapsed = seconds_since(start_);
  const double share =
      std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
  const std::string time = last ? fmt::format("took {}", human_duration(elapsed))
                           : share > 0
                               ? fmt::format("{} left", human_duration(elapsed / share - elapsed))
                               : "";
  if (!terminal_) {
    fmt::print(stderr, "{} {}/{} ({:.0f} %) {}{}{}\n", label_, done_, total_, 100 * share, time,
               detail.empty() ? "" : "  ", detail);
    return;
  }
  const int filled = static_cast<int>(share * kBarWidth);
  std::string line = fmt::format("{} [{}{}] {:3.0f} %  {}  {}", label_, std::string(filled, '='),
                                 std::string(kBarWidth - filled, ' '), 100 * share, time, detail);
  line.resize(std::min<size_t>(line.size(), terminal_columns() - 1));
  fmt::print(stderr, "\r\033[K{}{}", line, last ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace nestvit

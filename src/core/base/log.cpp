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
constexpr const char* kClear = "\r\033[K";  // the line of the cursor
constexpr int kColumnsForBar = 60;          // on narrower terminals numbers say more

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::atomic<bool> silent = false;

// Some terminals do not know their width and say 0.
int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 100;
}

std::atomic<bool> bar_shown = false;  // at the cursor, on a terminal

// Fails silently: work goes on where nobody can hear of it, such as after a terminal was closed.
void say(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

// A message takes the place of the bar, which is drawn again below it.
std::string line_start() { return bar_shown.exchange(false) ? kClear : ""; }

}  // namespace

void log_info(const std::string& message) {
  if (!silent) say(line_start() + message + "\n");
}
void log_warning(const std::string& message) {
  if (!silent) say(line_start() + "warning: " + message + "\n");
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
  if (!finished_ && drawn_ && terminal_ && bar_shown.exchange(false)) say("\n");
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
    say(fmt::format("{} {}/{} ({:.0f} %) {}{}{}\n", label_, done_, total_, 100 * share, time,
                    detail.empty() ? "" : "  ", detail));
    return;
  }
  const int columns = terminal_columns();
  const int filled = static_cast<int>(share * kBarWidth);
  const std::string bar =
      columns < kColumnsForBar
          ? ""
          : fmt::format("[{}{}] ", std::string(filled, '='), std::string(kBarWidth - filled, ' '));
  std::string line = fmt::format("{} {}{:3.0f} %  {}  {}", label_, bar, 100 * share, time, detail);
  line.resize(std::min<size_t>(line.size(), columns - 1));
  say(fmt::format("{}{}{}", kClear, line, last ? "\n" : ""));
  bar_shown = !last;
  std::fflush(stderr);
}

}  // namespace nestvit

// Messages to stderr ("warning: ..."), and the progress bar.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace nestvit {

void log_info(const std::string& message);
void log_warning(const std::string& message);
// From now on neither says anything, and bars are not drawn: of several processes that do the same,
// one speaks.
void log_nothing();

// True when stderr is a terminal, NO_COLOR and CLICOLOR_FORCE aside.
bool stderr_is_terminal();
std::string human_duration(double seconds);  // "1:05", "2:03:10"
std::string human_count(int64_t count);      // "6,006,730"

// A bar with time left, redrawn in place at most ten times a second, when stderr is a terminal.
// Elsewhere `line` prints plain lines, at most one per `plain_interval_s`, and the last one always.
// Costs nothing per call between redraws.
class Progress {
 public:
  Progress(std::string label, int64_t total, double plain_interval_s = 10);
  ~Progress();
  // `detail` follows the bar: "loss 0.41  1,203 images/s  data 2 %".
  void update(int64_t done, const std::string& detail);
  bool due() const;  // whether update() would draw now; skip building `detail` otherwise
  void finish(const std::string& detail = "");

 private:
  void draw(const std::string& detail, bool last);
  std::string label_;
  int64_t total_;
  int64_t done_ = 0;
  double interval_s_;
  bool terminal_;
  bool finished_ = false;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace nestvit

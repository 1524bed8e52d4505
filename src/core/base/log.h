// Messages to stderr ("warning: ..."), and the progress bar.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace nestvit {

void log_info(const std::string& message);
void log_warning(const std::string& message);
// Silences both, and progress bars, from now on: only one of a run's processes reports.
void log_nothing();

// Whether stderr is a terminal, whatever NO_COLOR and CLICOLOR_FORCE say.
bool stderr_is_terminal();
std::string human_duration(double seconds);  // "1:05", "2:03:10"
std::string human_count(int64_t count);      // "6,006,730"

// A bar with the time left. On a terminal it is redrawn in place at most ten times a second;
// elsewhere it prints plain lines, at most one per `plain_interval_s`, and always the last one. A
// call between redraws costs nothing.
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

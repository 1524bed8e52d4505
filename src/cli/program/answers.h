// Answers that go out as they come: in which form, where to, and with a progress bar or without.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace nestvit::cli {

// `format`, else what the name of `output` ends in, if it is one of `known`, else "table".
std::string format_of(const std::string& format, const std::string& output,
                      const std::vector<std::string>& known);

// Progress must not mingle with answers on the same terminal, nor fill a log. `output`: where the
// answers go; "": to standard output.
bool shows_progress(const std::string& output);

// To standard output, or into the file that takes the place of `output` at the end.
class Sink {
 public:
  explicit Sink(const std::string& output);
  void send(const std::string& text);
  void commit();
  // After an error: says where the answers so far are to be found, if anywhere.
  void say_unfinished() const;

 private:
  std::optional<AtomicFile> file_;
};

}  // namespace nestvit::cli

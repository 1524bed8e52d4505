// Running a command in a shell, as a user of the programs does.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"

namespace nestvit::testing {

struct Outcome {
  int code = -1;
  std::string out, err;
};

// `command` in `folder`; "nestvit" is the program just built.
inline Outcome run_in_shell(const std::filesystem::path& folder, const std::string& command) {
  const std::string line = fmt::format(
      "cd '{}' && export PATH='{}':\"$PATH\" NO_COLOR=1 OMP_NUM_THREADS=1 && "
      "{{ {} ; }} >.out 2>.err",
      folder.string(), NESTVIT_BIN_DIR, command);
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(folder / ".out"),
          read_text(folder / ".err")};
}

// One clear message, with a hint or without, and nothing on stdout.
inline void expect_failure(const Outcome& outcome, int code,
                           const std::vector<std::string>& mentions) {
  using ::testing::HasSubstr;
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, ::testing::ContainsRegex("(^|\n)nestvit(-train)?: error: "));
  EXPECT_THAT(outcome.err, ::testing::Not(HasSubstr("terminate called")));
  for (const std::string& mention : mentions) EXPECT_THAT(outcome.err, HasSubstr(mention));
}

}  // namespace nestvit::testing

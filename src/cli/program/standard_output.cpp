// By stdio's buffer, which fmt::print fills.
#include "cli/program/standard_output.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace nestvit::cli {

void flush_output() {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) fail_output(errno);
}

void fail_output(int error) {
  if (error == EPIPE) throw ReaderGone();
  throw Error(error == 0 ? "cannot write to standard output"
                         : fmt::format("cannot write to standard output: {}", std::strerror(error)),
              "is the disk full?");
}

}  // namespace nestvit::cli

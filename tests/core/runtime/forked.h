// Children of a test by fork(), as PyTorch's DataLoader and gunicorn make theirs.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/system/sanitized.h"

namespace nestvit::testing {

// The address sanitizers of g++ 12 and clang 14 do not keep their locks sound across fork(): a
// child of a program whose other threads allocate may hang in malloc, whatever the program does.
#ifdef NESTVIT_SANITIZED
inline constexpr bool kForkAmidThreadsHangs = true;
#else
inline constexpr bool kForkAmidThreadsHangs = false;
#endif

// Whether `body` returns true in a child of this process. A child that hangs is ended after a
// minute, and counts as false.
inline bool in_child(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    bool good = false;
    try {
      good = body();
    } catch (...) {
    }
    _exit(good ? 0 : 1);
  }
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

}  // namespace nestvit::testing

// nestvit train --nproc N: the same command in N processes on this machine.
#pragma once

#include <csignal>

#include "cli/program/verb.h"

namespace nestvit::cli {

// Starts the processes, hands them the signals that `last_signal` shows, and waits for all. One
// that fails ends the others: by themselves first, by force after ten seconds. Returns the exit
// code of the first that failed, 0 when all went well.
int spawn(int processes, const Invocation& invocation,
          const volatile std::sig_atomic_t& last_signal);

}  // namespace nestvit::cli

// Answers on standard output: sent when asked for, and the end of a reader is no error.
#pragma once

namespace nestvit::cli {

// Thrown when the reader of standard output has gone, as after `| head`: the program ends quietly.
struct ReaderGone {};

// Sends out all that was printed. Throws ReaderGone, or Error where it cannot be written.
void flush_output();
// The same for what a failed write to standard output left in errno.
[[noreturn]] void fail_output(int error);

}  // namespace nestvit::cli

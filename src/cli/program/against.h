// bench --against: a peer's speed beside nestvit's, by bench/infer/run.py of the source tree.
#pragma once

#include <string>
#include <vector>

namespace nestvit::cli {

// Replaces this process by the Python of NESTVIT_PYTHON, else python3, running bench/infer/run.py
// of the source tree that this program was built in, with `arguments` after the build folder.
// Throws Error where it lies in none.
[[noreturn]] void exec_infer_script(const std::vector<std::string>& arguments);

}  // namespace nestvit::cli

// Starting other programs: the sibling of this installation, and bench/infer/run.py of the source
// tree.
#pragma once

#include <string>
#include <vector>

namespace nestvit::cli {

// A pointer to each of `words`, then a null pointer, as the exec functions of the system take them.
// The caller keeps the words.
std::vector<char*> exec_words(std::vector<std::string>& words);

// Replaces this process by `name`, a program of the same installation: beside this executable, else
// on PATH. Throws Error when there is none.
[[noreturn]] void exec_sibling(const std::string& name, const std::vector<std::string>& arguments);

// For bench --against: replaces this process by the Python of NESTVIT_PYTHON, else python3, running
// bench/infer/run.py of the source tree that this program was built in (TREE/build/PRESET/bin),
// with `arguments` after the build folder. Throws Error where it lies in none.
[[noreturn]] void exec_infer_script(const std::vector<std::string>& arguments);

}  // namespace nestvit::cli

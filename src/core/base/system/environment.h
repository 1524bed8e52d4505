// The environment of this process: its variables, all of them in one table, and the program that it
// runs.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace nestvit {

// The value of an environment variable; nothing when it is unset or empty. Throws std::logic_error
// for a name that the table does not have: a variable that is read must be documented.
std::optional<std::string> environment_variable(const std::string& name);

// Every name of the table, in its order.
std::vector<std::string> environment_names();

// The table as Markdown: what `nestvit --help-environment` prints and docs/environment-variables.md
// holds.
std::string environment_help();

// The program that this process runs, symbolic links resolved.
std::filesystem::path own_program();

}  // namespace nestvit

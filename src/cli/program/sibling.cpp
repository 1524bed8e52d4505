// Handing over to the other program of this installation: nestvit stays free of libtorch, yet users
// type one name.
#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "cli/program/options.h"

namespace nestvit::cli {
namespace {

namespace fs = std::filesystem;

bool runnable(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

fs::path find_program(const std::string& name) {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error && runnable(self.parent_path() / name)) return self.parent_path() / name;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (!folder.empty() && runnable(fs::path(folder) / name)) return fs::path(folder) / name;
  throw Error(fmt::format("{} was found neither beside this program ({}) nor on PATH", name,
                          self.parent_path().string()),
              name == "nestvit-train"
                  ? "training and --engine torch need it: build the preset \"release\", which has "
                    "libtorch (\"core-only\" has not)"
                  : "install both programs into one folder");
}

}  // namespace

void exec_sibling(const std::string& name, const std::vector<std::string>& arguments) {
  const std::string program = find_program(name).string();
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::fflush(stdout);
  execv(program.c_str(), argv.data());
  throw Error(fmt::format("{}: cannot be started: {}", program, std::strerror(errno)));
}

void add_engine_option(CLI::App& app, std::string* engine, const Backend& backend) {
  *engine = backend.engine;
  add_choice(app, "--engine", engine, {"core", "torch"},
             "Which forward: core is the torch-free runtime, torch is libtorch (in "
             "nestvit-train). Both give the same numbers.");
}

void use_engine(const std::string& engine, const Backend& backend, const Invocation& invocation) {
  if (engine == backend.engine) return;
  exec_sibling(engine == "torch" ? "nestvit-train" : "nestvit", invocation.arguments);
}

}  // namespace nestvit::cli

// Finds the script by where this program lies: TREE/build/PRESET/bin.
#include "cli/program/against.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace nestvit::cli {

namespace fs = std::filesystem;

void exec_infer_script(const std::vector<std::string>& arguments) {
  std::error_code ignored;
  const fs::path build = fs::read_symlink("/proc/self/exe", ignored).parent_path().parent_path();
  const std::string script =
      (build.parent_path().parent_path() / "bench" / "infer" / "run.py").string();
  if (!fs::exists(script, ignored))
    throw Error(fmt::format("--against needs nestvit's source tree: there is no {}", script),
                "in a checkout: venv/bin/pip install -r bench/requirements.txt, cmake --preset "
                "release && cmake --build --preset release, venv/bin/python bench/infer/run.py "
                "build/release");
  const char* set = std::getenv("NESTVIT_PYTHON");
  const std::string python = set && *set ? set : "python3";
  std::vector<std::string> line = {python, script, build.string()};
  line.insert(line.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : line) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  throw Error(fmt::format("{} cannot be started: {}", python, std::strerror(errno)),
              "set NESTVIT_PYTHON to a Python that has bench/requirements.txt");
}

}  // namespace nestvit::cli

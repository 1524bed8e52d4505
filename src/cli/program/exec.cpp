// nestvit stays free of libtorch, yet users type one name: the sibling gets all arguments.
#include "cli/program/exec.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "base/system/environment.h"

namespace nestvit::cli {
namespace {

namespace fs = std::filesystem;

// `words` are the program, a path or a name on PATH, and its arguments.
[[noreturn]] void exec(std::vector<std::string> words, const std::string& hint) {
  std::fflush(stdout);
  execvp(words[0].c_str(), exec_words(words).data());
  throw Error(fmt::format("{} cannot be started: {}", words[0], std::strerror(errno)), hint);
}

bool runnable(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

fs::path find_sibling(const std::string& name) {
  const fs::path folder = own_program().parent_path();
  if (runnable(folder / name)) return folder / name;
  std::istringstream folders(environment_variable("PATH").value_or(""));
  for (std::string on_path; std::getline(folders, on_path, ':');)
    if (!on_path.empty() && runnable(fs::path(on_path) / name)) return fs::path(on_path) / name;
  throw Error(fmt::format("{} was found neither beside this program ({}) nor on PATH", name,
                          folder.string()),
              name == "nestvit-train" ? "training and --engine torch need it: build the preset "
                                        "\"release\", which has libtorch (\"core-only\" has not)"
                                      : "install both programs into one folder");
}

}  // namespace

std::vector<char*> exec_words(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

void exec_sibling(const std::string& name, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {find_sibling(name).string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  exec(std::move(words), "");
}

void exec_infer_script(const std::vector<std::string>& arguments) {
  const fs::path build = own_program().parent_path().parent_path();
  const std::string script =
      (build.parent_path().parent_path() / "bench" / "infer" / "run.py").string();
  std::error_code ignored;
  if (!fs::exists(script, ignored))
    throw Error(
        fmt::format("--against needs nestvit's source tree: there is no {}", script),
        "in a checkout: venv/bin/pip install -r bench/requirements.txt, cmake --preset release && "
        "cmake --build --preset release, venv/bin/python bench/infer/run.py build/release");
  const std::string python = environment_variable("NESTVIT_PYTHON").value_or("python3");
  std::vector<std::string> words = {python, script, build.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  exec(std::move(words), "set NESTVIT_PYTHON to a Python that has bench/requirements.txt");
}

}  // namespace nestvit::cli

// Children with torchrun's environment, around a meeting point that the parent holds.
#include "cli/verbs/train/spawn.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "base/system/environment.h"
#include "cli/program/exec.h"
#include "train/group/rendezvous.h"

namespace nestvit::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kUntilForce{10};
constexpr std::chrono::milliseconds kLook{20};

// The arguments for a child: without --nproc and its number.
std::vector<std::string> child_arguments(const Invocation& invocation) {
  std::vector<std::string> kept = {invocation.program};
  for (size_t i = 0; i < invocation.arguments.size(); ++i) {
    const std::string& argument = invocation.arguments[i];
    if (argument == "--nproc" || argument == "--nproc-per-node" || argument == "--nproc_per_node")
      ++i;
    else if (!argument.starts_with("--nproc"))
      kept.push_back(argument);
  }
  return kept;
}

class Children {
 public:
  Children(int processes, const Invocation& invocation)
      : arguments_(child_arguments(invocation)), left_(processes) {
    for (int rank = 0; rank < processes; ++rank) children_.push_back(start(rank, processes));
  }
  ~Children() { signal_all(SIGKILL); }

  bool any() const { return left_ > 0; }
  void signal_all(int signal) const {
    for (const pid_t child : children_)
      if (child > 0) kill(child, signal);
  }
  // Takes note of those that have ended. Returns the exit code of the first that failed so far.
  int look();

 private:
  pid_t start(int rank, int processes);

  std::vector<std::string> arguments_;
  train::MeetingPoint place_;
  std::vector<pid_t> children_;  // 0: has ended
  int left_;
  int code_ = 0;
};

pid_t Children::start(int rank, int processes) {
  const std::vector<std::pair<const char*, std::string>> environment = {
      {"RANK", std::to_string(rank)},
      {"LOCAL_RANK", std::to_string(rank)},
      {"WORLD_SIZE", std::to_string(processes)},
      {"LOCAL_WORLD_SIZE", std::to_string(processes)},
      {"MASTER_ADDR", "127.0.0.1"},
      {"MASTER_PORT", std::to_string(place_.port())},
      {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
  std::vector<std::string> variables;
  for (char** it = environ; *it; ++it) {
    const std::string variable = *it;
    const bool ours = std::any_of(environment.begin(), environment.end(), [&](const auto& set) {
      return variable.starts_with(std::string(set.first) + "=");
    });
    if (!ours) variables.push_back(variable);
  }
  for (const auto& [name, value] : environment)
    variables.push_back(fmt::format("{}={}", name, value));
  const std::vector<char*> argv = exec_words(arguments_), envp = exec_words(variables);
  // Not /proc/self/exe: ps would show that name.
  const std::string program = own_program().string();
  const pid_t parent = getpid(), child = fork();
  if (child < 0)
    throw Error(
        fmt::format("cannot start process {} of {}: {}", rank + 1, processes, std::strerror(errno)),
        "use a smaller --nproc");
  if (child > 0) return child;
  // Only calls that are safe while other threads held locks at the fork.
  setpgid(0, 0);  // Ctrl-C reaches the parent alone, which passes it on once
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  execve(program.c_str(), argv.data(), envp.data());
  _exit(127);
}

int Children::look() {
  for (size_t rank = 0; rank < children_.size(); ++rank) {
    int status = 0;
    if (children_[rank] <= 0 || waitpid(children_[rank], &status, WNOHANG) != children_[rank])
      continue;
    children_[rank] = 0;
    --left_;
    if (status == 0) continue;
    if (WIFSIGNALED(status))
      log_warning(fmt::format("rank {} was ended by signal {} ({})", rank, WTERMSIG(status),
                              strsignal(WTERMSIG(status))));
    if (code_ == 0) code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  }
  return code_;
}

}  // namespace

int spawn(int processes, const Invocation& invocation,
          const volatile std::sig_atomic_t& last_signal) {
  Children children(processes, invocation);
  int passed_on = 0, code = 0;
  std::optional<Clock::time_point> failed;
  while (children.any()) {
    const int signal = last_signal;
    if (signal != passed_on) children.signal_all(passed_on = signal);
    code = children.look();
    if (code != 0 && !failed) failed = Clock::now();
    if (failed && passed_on == 0 && Clock::now() - *failed > kUntilForce)
      children.signal_all(SIGKILL);
    std::this_thread::sleep_for(kLook);
  }
  return code;
}

}  // namespace nestvit::cli

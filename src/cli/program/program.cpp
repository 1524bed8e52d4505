// From argv to a verb and back to an exit code.
#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <new>
#include <system_error>

#include "base/fields.h"
#include "base/system/environment.h"
#include "cli/program/exec.h"
#include "cli/program/options.h"
#include "cli/program/standard_output.h"
#include "cli/program/verb.h"

namespace nestvit::cli {
namespace {

constexpr const char* kOverridePrefix = "--config.";

bool coloured() {
  if (environment_variable("NO_COLOR")) return false;
  if (environment_variable("CLICOLOR_FORCE").value_or("0") != "0") return true;
  return isatty(STDERR_FILENO) == 1;
}

void print_error(const std::string& program, const std::string& what, const std::string& hint) {
  std::fflush(stdout);
  std::string text = fmt::format("{}: {}error:{} {}\n", program, coloured() ? "\033[1;31m" : "",
                                 coloured() ? "\033[0m" : "", what);
  if (!hint.empty()) text += fmt::format("  hint: {}\n", hint);
  std::fputs(text.c_str(), stderr);  // fmt::print would throw where stderr is closed
}

std::vector<std::string> verb_names(const Program& program) {
  std::vector<std::string> names;
  for (const Verb& verb : program.verbs) names.push_back(verb.name);
  return names;
}

const Verb& find_verb(const Program& program, const std::string& name) {
  for (const Verb& verb : program.verbs)
    if (verb.name == name) return verb;
  const std::string close = nearest(name, verb_names(program));
  throw UsageError(
      fmt::format("unknown {} \"{}\"", name.starts_with("-") ? "option" : "verb", name),
      close.empty()
          ? fmt::format("the verbs are: {}", fmt::join(verb_names(program), ", "))
          : fmt::format("did you mean \"{}\"? \"{} --help\" lists the verbs", close, program.name));
}

// Takes --config.KEY=VALUE and --config.KEY VALUE out of `arguments`.
std::vector<std::pair<std::string, std::string>> take_overrides(
    std::vector<std::string>* arguments) {
  std::vector<std::pair<std::string, std::string>> overrides;
  std::vector<std::string> kept;
  for (size_t i = 0; i < arguments->size(); ++i) {
    const std::string& argument = (*arguments)[i];
    if (!argument.starts_with(kOverridePrefix)) {
      kept.push_back(argument);
      continue;
    }
    const std::string text = argument.substr(std::string(kOverridePrefix).size());
    const size_t equals = text.find('=');
    if (equals == std::string::npos && i + 1 == arguments->size())
      throw UsageError(fmt::format("{} has no value", argument),
                       fmt::format("write {}=VALUE", argument));
    overrides.emplace_back(text.substr(0, equals), equals == std::string::npos
                                                       ? (*arguments)[++i]
                                                       : text.substr(equals + 1));
  }
  *arguments = kept;
  return overrides;
}

// CLI11 would complain about a missing required option first, and suggests nothing.
void refuse_unknown_options(const std::vector<std::string>& arguments,
                            const std::vector<OptionText>& options) {
  std::vector<std::string> known = {"--help"};
  for (const OptionText& option : options)
    if (!option.positional) known.insert(known.end(), option.names.begin(), option.names.end());
  for (const std::string& argument : arguments) {
    if (argument == "--") return;
    if (!argument.starts_with("--")) continue;
    const std::string name = argument.substr(0, argument.find('='));
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string close = nearest(name, known);
    throw UsageError(fmt::format("unknown option {}", name),
                     close.empty() ? "" : fmt::format("did you mean {}?", close));
  }
}

bool asks_for_help(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") return false;
    if (argument == "--help" || argument == "-h") return true;
  }
  return false;
}

void parse(CLI::App& app, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }
}

int run_verb_line(const Program& program, const Verb& verb, std::vector<std::string> arguments) {
  Invocation invocation{program.name, arguments, {}};
  arguments.erase(arguments.begin());
  CLI::App app;
  app.set_help_flag("");
  try {
    const std::function<int()> action = verb.declare(app, invocation);
    const std::vector<OptionText> options = describe(app);
    if (asks_for_help(arguments)) {
      fmt::print("{}", verb_help(program, verb, options));
      return 0;
    }
    if (verb.overrides) invocation.overrides = take_overrides(&arguments);
    refuse_unknown_options(arguments, options);
    parse(app, std::move(arguments));
    return action();
  } catch (const UsageError& error) {
    if (!error.hint().empty()) throw;
    throw UsageError(error.what(),
                     fmt::format("\"{} {} --help\" lists the options", program.name, verb.name));
  }
}

Verb completion_verb(const Program& program) {
  Verb verb;
  verb.name = "completion";
  verb.summary = "Print the script that completes verbs and options in a shell.";
  verb.details = R"(
nestvit and nestvit-train have a script each.
)";
  verb.examples = fmt::format(R"(
# bash, for this session
source <({0} completion bash)
# bash, for good
{0} completion bash > ~/.local/share/bash-completion/completions/{0}
# zsh, in a folder of $fpath
{0} completion zsh > ~/.zfunc/_{0}
{0} completion fish > ~/.config/fish/completions/{0}.fish
)",
                              program.name);
  verb.declare = [&program](CLI::App& app, const Invocation&) {
    auto shell = std::make_shared<std::string>();
    add_choice(app, "SHELL", shell.get(), {"bash", "zsh", "fish"}, "bash, zsh or fish.",
               Need::kRequired);
    return [shell, &program] {
      std::vector<std::vector<OptionText>> options;
      for (const Verb& each : program.verbs) {
        CLI::App declared;
        const Invocation none;
        each.declare(declared, none);
        declared.set_help_flag("");
        options.push_back(describe(declared));
      }
      fmt::print("{}", completion_script(*shell, program, options));
      return 0;
    };
  };
  return verb;
}

int dispatch(const Program& program, std::vector<std::string> arguments) {
  if (arguments.empty()) {
    fmt::print(stderr, "{}", program_help(program));
    return 2;
  }
  if (arguments[0] == "help" && arguments.size() > 1) {
    arguments = {arguments[1], "--help"};
  } else if (arguments[0] == "help" || arguments[0] == "--help" || arguments[0] == "-h") {
    fmt::print("{}", program_help(program));
    return 0;
  } else if (arguments[0] == "--version" || arguments[0] == "-V") {
    fmt::print("{} {}\n", program.name, NESTVIT_VERSION);
    return 0;
  } else if (arguments[0] == "--help-environment") {
    fmt::print("{}", environment_help());
    return 0;
  }
  const Verb& verb = find_verb(program, arguments[0]);
  return run_verb_line(program, verb, std::move(arguments));
}

int dispatch_and_flush(const Program& program, std::vector<std::string> arguments) try {
  const int code = dispatch(program, std::move(arguments));
  flush_output();
  return code;
} catch (const std::system_error& error) {  // of fmt::print
  if (std::ferror(stdout) != 0) fail_output(error.code().value());
  throw;
}

}  // namespace

int run_program(Program program, std::vector<std::string> arguments) {
  program.verbs.push_back(completion_verb(program));
  try {
    return dispatch_and_flush(program, std::move(arguments));
  } catch (const ReaderGone&) {
    return 128 + SIGPIPE;  // as where the signal ends a program
  } catch (const UsageError& error) {
    print_error(program.name, error.what(), error.hint());
    return 2;
  } catch (const Error& error) {
    print_error(program.name, error.what(), error.hint());
  } catch (const std::bad_alloc&) {
    print_error(program.name, "not enough memory", "try a smaller --batch-size or fewer workers");
  } catch (const std::exception& error) {
    print_error(program.name, error.what(), "this should not happen: please report it");
  }
  return 1;
}

}  // namespace nestvit::cli

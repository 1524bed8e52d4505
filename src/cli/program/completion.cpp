// Shell completion, generated from the table of verbs.
#include <fmt/format.h>

#include "cli/program/options.h"

namespace nestvit::cli {
namespace {

// Completes to files and folders.
bool is_path(const std::string& value) { return value == "FILE" || value == "MODEL"; }

std::string identifier(const std::string& name) {
  std::string id = "_" + name;
  for (char& c : id) c = c == '-' ? '_' : c;
  return id;
}

// The first sentence, in single quotes for a shell, with `escaped` characters after a backslash.
std::string quoted(const std::string& help, const std::string& escaped = "") {
  const size_t end = help.find_first_of(".;:\n");
  std::string text = "'";
  for (char c : help.substr(0, end)) {
    if (c == '\'') {
      text += "'\\''";
      continue;
    }
    if (escaped.find(c) != std::string::npos) text += '\\';
    text += c;
  }
  return text + "'";
}

std::string verb_words(const Program& program) {
  std::string words;
  for (const Verb& verb : program.verbs) words += (words.empty() ? "" : " ") + verb.name;
  return words;
}

// The completion of an option's value in bash: a compgen call.
std::string bash_values(const OptionText& option) {
  if (!option.choices().empty())
    return fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))",
                       fmt::join(option.choices(), " "));
  if (is_path(option.value)) return "COMPREPLY=($(compgen -f -- \"$cur\"))";
  if (option.value == "DIR") return "COMPREPLY=($(compgen -d -- \"$cur\"))";
  return "COMPREPLY=()";
}

std::string bash_verb(const Verb& verb, const std::vector<OptionText>& options) {
  std::string cases, words = "--help", positional;
  for (const OptionText& option : options) {
    if (option.positional) {
      if (!option.choices().empty()) positional = bash_values(option);
      continue;
    }
    words += fmt::format(" {}", fmt::join(option.names, " "));
    if (!option.value.empty())
      cases += fmt::format("        {}) {}; return ;;\n", fmt::join(option.names, "|"),
                           bash_values(option));
  }
  std::string text = fmt::format("    {})\n", verb.name);
  if (!cases.empty()) text += fmt::format("      case \"$prev\" in\n{}      esac\n", cases);
  text += fmt::format("      words='{}'\n", words);
  if (!positional.empty())
    text += fmt::format("      [[ \"$cur\" != -* ]] && {{ {}; return; }}\n", positional);
  return text + "      ;;\n";
}

std::string bash_script(const Program& program,
                        const std::vector<std::vector<OptionText>>& options) {
  std::string verbs;
  for (size_t i = 0; i < program.verbs.size(); ++i)
    verbs += bash_verb(program.verbs[i], options[i]);
  return fmt::format(
      "# bash completion of {0}; made by \"{0} completion bash\"\n"
      "{1}() {{\n"
      "  local cur=\"${{COMP_WORDS[COMP_CWORD]}}\" prev=\"${{COMP_WORDS[COMP_CWORD-1]}}\" "
      "words=''\n"
      "  if [[ $COMP_CWORD -eq 1 ]]; then\n"
      "    COMPREPLY=($(compgen -W '{2} help --help --help-environment --version' -- \"$cur\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"${{COMP_WORDS[1]}}\" in\n"
      "{3}"
      "    help) COMPREPLY=($(compgen -W '{2}' -- \"$cur\")); return ;;\n"
      "  esac\n"
      "  if [[ \"$cur\" == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -f -- \"$cur\"))\n"
      "  fi\n"
      "}}\n"
      "complete -o filenames -F {1} {0}\n",
      program.name, identifier(program.name), verb_words(program), verbs);
}

std::string zsh_action(const OptionText& option) {
  if (!option.choices().empty()) return fmt::format("({})", fmt::join(option.choices(), " "));
  if (is_path(option.value)) return "_files";
  if (option.value == "DIR") return "_files -/";
  return "";
}

std::string zsh_script(const Program& program,
                       const std::vector<std::vector<OptionText>>& options) {
  std::string verbs, cases;
  for (size_t i = 0; i < program.verbs.size(); ++i) {
    const Verb& verb = program.verbs[i];
    verbs += fmt::format("    {}:{}\n", verb.name, quoted(verb.summary));
    cases += fmt::format("    {})\n      _arguments '--help[Print help]'", verb.name);
    std::string positional = "'*:file:_files'";
    for (const OptionText& option : options[i]) {
      const std::string value =
          option.value.empty() ? "" : fmt::format("':{}:{}'", "value", zsh_action(option));
      if (option.positional && !option.choices().empty())
        positional = fmt::format("'1:value:{}'", zsh_action(option));
      if (option.positional) continue;
      const std::string help = quoted(option.help, "[]:\\");
      for (const std::string& name : option.names)
        cases += fmt::format(" \\\n        '{}['{}']'{}", name, help, value);
    }
    cases += fmt::format(" \\\n        {} ;;\n", positional);
  }
  return fmt::format(
      "#compdef {0}\n# zsh completion of {0}; made by \"{0} completion zsh\"\n"
      "{1}() {{\n"
      "  local -a verbs\n"
      "  verbs=(\n{2}  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe verb verbs\n"
      "    return\n"
      "  fi\n"
      "  local verb=$words[2]\n"
      "  shift words\n"
      "  (( CURRENT-- ))\n"
      "  case $verb in\n"
      "{3}"
      "  esac\n"
      "}}\n"
      "if [ \"$funcstack[1]\" = \"{1}\" ]; then {1} \"$@\"; else compdef {1} {0}; fi\n",
      program.name, identifier(program.name), verbs, cases);
}

std::string fish_script(const Program& program,
                        const std::vector<std::vector<OptionText>>& options) {
  std::string text = fmt::format(
      "# fish completion of {0}; made by \"{0} completion fish\"\ncomplete -c {0} -n "
      "__fish_use_subcommand -f\n",
      program.name);
  for (size_t i = 0; i < program.verbs.size(); ++i) {
    const Verb& verb = program.verbs[i];
    text += fmt::format("complete -c {} -n __fish_use_subcommand -f -a {} -d {}\n", program.name,
                        verb.name, quoted(verb.summary));
    const std::string seen =
        fmt::format("complete -c {} -n '__fish_seen_subcommand_from {}'", program.name, verb.name);
    for (const OptionText& option : options[i]) {
      const std::string choices = fmt::format("{}", fmt::join(option.choices(), " "));
      if (option.positional) {
        if (!choices.empty()) text += fmt::format("{} -f -a '{}'\n", seen, choices);
        continue;
      }
      std::string line = seen;
      for (const std::string& name : option.names)
        line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!choices.empty())
        line += fmt::format(" -x -a '{}'", choices);
      else if (option.value == "DIR")
        line += " -x -a '(__fish_complete_directories)'";
      else if (!option.value.empty())
        line += is_path(option.value) ? " -r -F" : " -x";
      text += fmt::format("{} -d {}\n", line, quoted(option.help));
    }
  }
  return text;
}

}  // namespace

std::string completion_script(const std::string& shell, const Program& program,
                              const std::vector<std::vector<OptionText>>& options) {
  if (shell == "zsh") return zsh_script(program, options);
  if (shell == "fish") return fish_script(program, options);
  return bash_script(program, options);
}

}  // namespace nestvit::cli

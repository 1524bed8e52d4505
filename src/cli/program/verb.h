// The verbs: one table per program drives its dispatch, its help and its shell completion.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine.h"
#include "runtime/gradients.h"

namespace CLI {
class App;
}

namespace nestvit::cli {

// A forward bound to a loaded model: input [batch, channels, S, S] -> logits, level outputs.
// nestvit passes the torch-free engine, nestvit-train its libtorch twin.
using Forward = std::function<Output(std::span<const float> input, int batch, bool features)>;
struct ForwardOptions {
  int threads = 0;  // 0: as many as this process may use
  NumberType precision = NumberType::kF32;
  bool fastest = false;  // f32 or bf16, whichever is faster here, instead of `precision`
};
using MakeForward = std::function<Forward(const LoadedModel& model, const ForwardOptions& options)>;

// GradientEngine::run() bound to a loaded model.
using RunGradients = std::function<std::vector<std::vector<Gradients>>(
    std::span<const float> input, int batch, const Targets& targets,
    const GradientOptions& options)>;
using MakeGradients = std::function<RunGradients(const LoadedModel& model, int threads)>;

// The forward that a program carries.
struct ForwardEngine {
  std::string name;  // for --engine: "core" or "torch"
  MakeForward make_forward;
  MakeGradients make_gradients = nullptr;  // empty: it has none
};

// The command line.
struct Invocation {
  std::string program;                 // "nestvit"
  std::vector<std::string> arguments;  // all after the program's name, the verb first
  // --config.KEY=VALUE, in order, without "config.".
  std::vector<std::pair<std::string, std::string>> overrides;
};

struct Verb {
  std::string name;
  std::string summary;  // one line, for the list of verbs
  // Paragraphs below the summary in the verb's own --help, with a blank line between them. A line
  // continues the one before it, unless it is indented.
  std::string details;
  // One command per line; a line that starts with '#' explains the next one.
  std::string examples;
  // Declares the options on `app` and returns what runs after parsing: an exit code, or an Error
  // thrown. Runs after `invocation` was filled.
  std::function<std::function<int()>(CLI::App& app, const Invocation& invocation)> declare;
  bool overrides = false;  // takes --config.KEY=VALUE
};

struct Program {
  std::string name;  // "nestvit"
  std::string summary;
  std::vector<Verb> verbs;
};

// `arguments`: all after the program's name. Parses, dispatches, prints errors. Exit codes: 0; 1
// for an Error; 2 for a UsageError or a wrong command line. Adds --help, --help-environment,
// --version and the verb `completion`.
int run_program(Program program, std::vector<std::string> arguments);

}  // namespace nestvit::cli

// The options of nestvit explain, and what they ask an explainer for.
#pragma once

#include <string>
#include <vector>

#include "cli/model/model_source.h"
#include "cli/program/options.h"
#include "cli/verbs/explain/modes.h"
#include "explain/explainer.h"

namespace nestvit::cli {

inline constexpr size_t kExplainedSheet = 64;  // images on a sheet; a longer one is not looked at

struct ExplainOptions {
  ModelSource model;
  std::vector<std::string> inputs;
  DataOptions data;
  // "" and 0: not given, which the help explains.
  std::vector<std::string> classes;
  int topk = 0;
  std::string against, method = "gradcat", level, site, propagation, sign, target = "logit", fill;
  bool paper = false, verify = false, all = false;
  std::string format, output, out, sheet;
  bool maps = false, smooth = false;
  int batch_size = 8, threads = 0;
  std::string on_bad_image = "error";
  ExplainModes modes;
};

void add_explain_options(CLI::App& app, ExplainOptions* options);

// Throws UsageError for options that exclude each other or that the method does not have; needs no
// model.
void check(const ExplainOptions& options);

// Throws UsageError for a class or a level that the model does not have.
ExplainRequest request_of(const ExplainOptions& options, const LoadedModel& model);

// The form of the answers: "table", "json" or "csv".
std::string format_of(const ExplainOptions& options);

// The work of explaining one image, in forward passes (docs/explain.md).
double forward_passes(const ExplainRequest& request, int levels);

}  // namespace nestvit::cli

// The model that a user named: a local path of any kind, or a remote one, which is fetched first.
#pragma once

#include <filesystem>
#include <string>

#include "cli/program/verb.h"
#include "weights/import.h"

namespace nestvit::cli {

struct ModelSource {
  std::string name;     // a path, hf://owner/name, gs://bucket/path, https://...
  std::string variant;  // of weights without a description
  bool use_ema = false;

  // Whether `name` is a path or an address, not the name of a variant (nest_tiny).
  bool is_place() const;
  // The model, with the invocation's --config.nest.KEY=VALUE over its own settings.
  // Widening::kLater is enough to run it.
  LoadedModel load(const Invocation& invocation, Widening widening = Widening::kToF32) const;
  // The same, of a baseline too.
  LoadedNetwork load_network(const Invocation& invocation,
                             Widening widening = Widening::kToF32) const;
  // Its description; reads tensors only where nothing else describes it.
  LoadedNetwork describe(const Invocation& invocation) const;
};

// --model, required, with --use-ema and --variant. The verb must take overrides.
void add_model_options(CLI::App& app, ModelSource* source);
// --use-ema and --variant alone, for a model that is named in another way.
void add_source_options(CLI::App& app, ModelSource* source);

// Where the files of `name` lie: `name` itself, or where the remote one was put.
std::filesystem::path local_model(const std::string& name);

}  // namespace nestvit::cli

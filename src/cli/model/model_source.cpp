// Fetches a remote name first, then imports the files.
#include "cli/model/model_source.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include "cli/program/options.h"
#include "hub/hub.h"

namespace nestvit::cli {
namespace {

ImportOptions import_options(const ModelSource& source, const Invocation& invocation) {
  ImportOptions options;
  options.prefer_ema = source.use_ema;
  options.hints.variant = source.variant;
  constexpr std::string_view kScope = "nest.";
  for (const auto& [key, value] : invocation.overrides) {
    if (!key.starts_with(kScope))
      throw UsageError(fmt::format("--config.{} is not a setting of a model", key),
                       "its keys are --config.nest.KEY; \"nestvit inspect --help\" lists them");
    options.hints.overrides.emplace_back(key.substr(kScope.size()), value);
  }
  return options;
}

}  // namespace

std::filesystem::path local_model(const std::string& name) {
  return is_remote(name) ? pull_model(name) : std::filesystem::path(name);
}

bool ModelSource::is_place() const {
  std::error_code ignored;
  return std::filesystem::exists(name, ignored) || name.find('/') != std::string::npos;
}

LoadedModel ModelSource::load(const Invocation& invocation, Widening widening) const {
  return as_nest(load_network(invocation, widening));
}

LoadedNetwork ModelSource::load_network(const Invocation& invocation, Widening widening) const {
  ImportOptions options = import_options(*this, invocation);
  options.widening = widening;
  return import_network(local_model(name), options);
}

LoadedNetwork ModelSource::describe(const Invocation& invocation) const {
  return import_network_config(local_model(name), import_options(*this, invocation));
}

void add_source_options(CLI::App& app, ModelSource* source) {
  add_flag(app, "--use-ema", &source->use_ema,
           "Take the averaged (EMA) weights of a checkpoint that has them.");
  add_text(app, "--variant", &source->variant, "NAME",
           "The variant of weights without a description, for instance nest_tiny; default: found "
           "by names and shapes.");
}

void add_model_options(CLI::App& app, ModelSource* source) {
  add_text(app, "--model", &source->name, "MODEL",
           "A model directory (ours, a run's WORKDIR/best, timm's), a .safetensors or .pth file, "
           "an official checkpoint folder, or hf://OWNER/NAME, gs://..., https://...",
           Need::kRequired);
  add_source_options(app, source);
}

}  // namespace nestvit::cli

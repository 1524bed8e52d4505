// nestvit pull: fetches a model or dataset by name, and prints where it lies.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <memory>

#include "base/fields.h"
#include "cli/program/options.h"
#include "cli/verbs/verbs.h"
#include "hub/hub.h"

namespace nestvit::cli {
namespace {

struct PullCommand {
  std::string name, output, revision;
  bool quiet = false;
};

std::filesystem::path pull(const PullCommand& command) {
  PullOptions options;
  options.target = command.output;
  options.progress = !command.quiet;
  std::string name = command.name;
  if (!command.revision.empty()) {
    if (!name.starts_with("hf://") || name.find('@') != std::string::npos)
      throw UsageError(fmt::format("--revision says nothing about {}", name),
                       "it is for hf://OWNER/NAME without @REVISION");
    name += "@" + command.revision;
  }
  if (is_remote(name)) return pull_model(name, options);
  const auto& datasets = known_datasets();
  if (std::find(datasets.begin(), datasets.end(), name) != datasets.end())
    return pull_dataset(name, options);
  std::string close = nearest(name, datasets);
  if (close.empty() && std::count(name.begin(), name.end(), '/') == 1 && name.front() != '.' &&
      name.front() != '/')
    close = "hf://" + name;
  throw UsageError(
      fmt::format("\"{}\" names nothing that can be fetched", name),
      close.empty()
          ? fmt::format("name hf://OWNER/NAME, gs://BUCKET/PATH, https://HOST/FILE or one of {}",
                        fmt::join(datasets, ", "))
          : fmt::format("did you mean \"{}\"?", close));
}

}  // namespace

Verb pull_verb() {
  Verb verb;
  verb.name = "pull";
  verb.summary = "Fetch a model or a dataset by name, and print where it lies.";
  verb.details = fmt::format(R"(
NAME is hf://OWNER/NAME[@REVISION] (a model on the Hugging Face hub: its config.json and weights),
gs://BUCKET/PATH (an official checkpoint folder, of which the newest checkpoint is fetched),
https://HOST/FILE, or one of the datasets {}.

Files that are there already are not fetched again, interrupted downloads go on where they stopped,
and nothing appears under its name before its length and checksum are right. The path is the only
line on standard output.

Without --output, models of the hub lie in its own cache (HF_HUB_CACHE, else HF_HOME/hub, else
~/.cache/huggingface/hub), which Python's huggingface_hub shares, and all else below
~/.cache/nestvit (XDG_CACHE_HOME). HF_TOKEN is for private and licensed models, HF_ENDPOINT names a
mirror of the hub, HF_HUB_OFFLINE=1 allows its cache alone; STORAGE_EMULATOR_HOST is another server
for gs://; NESTVIT_DATASET_MIRROR is an address below which the datasets' files lie as DATASET/FILE;
https_proxy and no_proxy are obeyed.

Dropped connections and servers in trouble are tried again for about half a minute without a new
byte.
)",
                             fmt::join(known_datasets(), ", "));
  verb.examples = R"help(
nestvit pull hf://timm/nest_tiny_jx.goog_in1k
# the reference's own weights
nestvit pull gs://gresearch/nest-checkpoints/nest-t_imagenet
# a copy of your own
nestvit pull hf://timm/nest_tiny_jx.goog_in1k --output models/nest-t
# a dataset, used at once
nestvit eval --model out/best --data-dir "$(nestvit pull cifar10)"
)help";
  verb.declare = [](CLI::App& app, const Invocation&) {
    auto command = std::make_shared<PullCommand>();
    add_text(app, "NAME", &command->name, "NAME", "The model or dataset, as above.",
             Need::kRequired);
    add_output_folder(
        app, "--output", &command->output,
        "Put it there: a model's files are copied into DIR, a dataset becomes DIR, which must "
        "be new or empty.");
    add_text(app, "--revision", &command->revision, "REV",
             "A branch, a tag or a commit of a model on the hub; default: main.");
    add_flag(app, "-q,--quiet", &command->quiet, "No progress, only warnings and errors.");
    return [command] {
      fmt::print("{}\n", pull(*command).string());
      return 0;
    };
  };
  return verb;
}

}  // namespace nestvit::cli

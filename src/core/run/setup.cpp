// The base that settings go over depends on the data and weights that the settings name.
#include "run/setup.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "data/evaluation_data.h"
#include "run/recipe/default_recipe.h"
#include "run/recipe/finetune.h"
#include "run/recipe/named_recipes.h"
#include "run/recipe/plan.h"
#include "run/record/checkpoint.h"
#include "weights/labels/labels.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

Recipe with_settings(const Recipe& base, const RunRequest& request) {
  Recipe recipe = apply(base, request.settings);
  make_paths_absolute(recipe);
  // Not checked yet, and perhaps huge: in doubles.
  const double images =
      static_cast<double>(recipe.per_device_batch_size) * static_cast<double>(step_batches(recipe));
  const double scale = 256.0 / std::max(1.0, images);
  if (request.learning_rate) recipe.learning_rate = *request.learning_rate * scale;
  if (request.min_learning_rate) recipe.min_learning_rate = *request.min_learning_rate * scale;
  if (request.warmup_learning_rate)
    recipe.warmup_learning_rate = *request.warmup_learning_rate * scale;
  return recipe;
}

Recipe with_named(const Recipe& base, const std::string& name) {
  return name.empty() ? base : apply(base, named_recipe(name));
}

// Which keys about the part to evaluate the settings have.
SplitRequest split_request(const Recipe& asked, const RunRequest& request) {
  Recipe open;
  open.data.val_share = -1;
  SplitRequest split;
  if (apply(open, request.settings).data.val_share != -1) split.val_share = asked.data.val_share;
  for (const auto& [key, value] : request.settings.values) {
    // A recipe's file has a seed for many things.
    if (key == "seed") split.seed = asked.seed;
    if (key == "data.val_split") split.split = asked.data.val_split;
  }
  if (asked.data.val_split != DataKeys().val_split) split.split = asked.data.val_split;
  if (split.val_share) split.seed = asked.seed;
  return split;
}

std::unique_ptr<Dataset> open_to_evaluate(const LoadedNetwork& weights, const Recipe& asked,
                                          const RunRequest& request) {
  return open_evaluation_data(
             dataset_options(asked, asked.data.val_split), split_request(asked, request),
             weights.trained_on,
             [&](const Dataset& images) { return names_in_model(images.classes(), weights); })
      .images;
}

// `workdir`: of the run that is resumed, with its indexes; empty for a new one.
void open_data(RunSetup& setup, const Recipe& recipe, const RunRequest& request,
               const fs::path& workdir) {
  if (recipe.data.dir.empty() && recipe.dataset.empty())
    throw UsageError("no data given", "name the folder: nestvit train DIR, or --data-dir DIR");
  const auto open = [&](const std::string& split, const char* part) {
    DatasetOptions options = dataset_options(recipe, split);
    if (!workdir.empty()) options.index = index_file(workdir, part);
    return open_dataset(options);
  };
  if (!recipe.eval_only) setup.train = open(recipe.data.train_split, "train");
  const bool by_record = recipe.eval_only && setup.weights && setup.weights->trained_on;
  setup.val = by_record ? open_to_evaluate(*setup.weights, recipe, request)
                        : open(recipe.data.val_split, "val");
  setup.facts = data_facts(setup.train ? *setup.train : *setup.val, *setup.val);
}

// How to import init_checkpoint: the settings may add facts that its file lacks.
ImportOptions import_options(const Recipe& asked, const RunRequest& request) {
  ImportOptions options;
  options.prefer_ema = request.prefer_ema;
  options.needs_head = asked.eval_only;
  if (asked.model_name != Recipe().model_name) options.hints.variant = asked.model_name;
  for (const auto& [key, value] : request.settings.values)
    for (const char* unseen :
         {"nest.num_layers_per_block", "nest.num_heads", "nest.level_heads", "nest.attn_type"})
      if (key == unseen) options.hints.overrides.emplace_back(key.substr(5), value);
  return options;
}

// The recipe that the named one and the settings go over.
Recipe base_recipe(RunSetup& setup, const Recipe& asked, const Settings& settings) {
  const DataFacts& facts = setup.facts;
  if (!settings.origin.empty()) {
    setup.base = settings.origin;
    return setup.weights ? with_weights(Recipe(), *setup.weights, asked) : Recipe();
  }
  const std::string images =
      fmt::format("{} images of about {} pixels", human_count(facts.train_size), facts.short_side);
  setup.base = fmt::format("the default for {}{}", setup.weights ? "fine-tuning on " : "", images);
  return setup.weights ? finetune_recipe(facts, *setup.weights, asked)
                       : default_recipe(facts, asked.input_size);
}

RunSetup set_up_new(const RunRequest& request, const FetchNetwork& fetch) {
  RunSetup setup;
  const Recipe asked = with_settings(with_named(Recipe(), request.named_recipe), request);
  if (!asked.init_checkpoint.empty())
    setup.weights = fetch(asked.init_checkpoint, import_options(asked, request));
  open_data(setup, asked, request, /*workdir=*/{});
  const Recipe base = with_named(base_recipe(setup, asked, request.settings), request.named_recipe);
  if (!request.named_recipe.empty())
    setup.base += fmt::format(", over \"{}\"", request.named_recipe);
  setup.recipe = with_settings(base, request);
  if (setup.weights) {
    check_architecture(setup.recipe, *setup.weights);
    // A part of the classes is enough to evaluate on.
    if (asked.eval_only && asked.num_classes == 0 &&
        classes_by_name(setup.val->classes(), *setup.weights))
      setup.recipe.num_classes = setup.weights->config.num_classes();
  }
  resolve(setup.recipe, setup.facts);
  if (setup.weights) check_weights(setup.recipe, *setup.weights);
  return setup;
}

void refuse_changed_keys(Recipe before, Recipe after) {
  const Fields old_fields = fields(before), new_fields = fields(after);
  std::vector<std::string> keys = locked_keys(before), also = locked_keys(after);
  keys.insert(keys.end(), also.begin(), also.end());
  for (const std::string& key : keys)
    if (old_fields.get(key) != new_fields.get(key))
      throw UsageError(fmt::format("{} was {} when the run started and is {} now", key,
                                   old_fields.get(key), new_fields.get(key)),
                       "a resumed run keeps its model, optimiser and data: leave the setting out, "
                       "or start anew in another --workdir");
}

// What may be meant by a path that is no run's folder.
Error no_run(const fs::path& path) {
  std::error_code ignored;
  fs::path above = fs::absolute(path).lexically_normal();
  if (!above.has_filename()) above = above.parent_path();
  // RUN/best, RUN/checkpoints/step-7, RUN/checkpoints/step-7/model.safetensors
  for (int level = 0; level < 3; ++level) {
    above = above.parent_path();
    if (!fs::exists(above / "config.yaml", ignored) || !Checkpoints(above, 1).any()) continue;
    const fs::path run = path.is_absolute() ? above : above.lexically_relative(fs::current_path());
    return Error(
        fmt::format("{} is a part of the run {}, not a run to resume", path.string(), run.string()),
        fmt::format("--resume {} goes on from the newest checkpoint of that run", run.string()));
  }
  const bool weights =
      fs::exists(path / kConfigFile, ignored) || fs::is_regular_file(path, ignored);
  return Error(fmt::format("{} holds no run to resume: there is no config.yaml", path.string()),
               weights ? fmt::format("to start a new run from its weights: --initial-checkpoint {}",
                                     path.string())
                       : "give the --workdir of a run that was started, or leave --resume out; "
                         "--resume auto resumes where there is something to resume");
}

RunSetup set_up_resumed(const RunRequest& request) {
  const fs::path config = request.resume / "config.yaml";
  if (!fs::exists(config)) throw no_run(request.resume);
  if (!request.named_recipe.empty())
    throw UsageError("--recipe is for a new run, and --resume resumes one",
                     "leave --recipe out: config.yaml of the run holds its recipe");
  RunSetup setup;
  setup.base = config.string();
  Recipe before = apply(Recipe(), {config, {}});
  make_paths_absolute(before);
  RunRequest changes = request;
  std::erase_if(changes.settings.values, [&](const auto& value) {  // it is that model
    return value.first == "model_name" && value.second == before.model_name;
  });
  setup.recipe = with_settings(before, changes);
  if (setup.recipe.eval_only)
    throw UsageError(
        "eval_only evaluates init_checkpoint, not a run",
        fmt::format("for the run: nestvit eval --model {}", (request.resume / "best").string()));
  if (setup.recipe.init_checkpoint != before.init_checkpoint)
    log_info(fmt::format("{} is not read: a resumed run goes on from its own checkpoint",
                         std::exchange(setup.recipe.init_checkpoint, before.init_checkpoint)));
  open_data(setup, setup.recipe, request, request.resume);
  resolve(setup.recipe, setup.facts);
  refuse_changed_keys(before, setup.recipe);
  return setup;
}

}  // namespace

RunSetup set_up(const RunRequest& request, const FetchNetwork& fetch) {
  return request.resume.empty() ? set_up_new(request, fetch) : set_up_resumed(request);
}

}  // namespace nestvit

// From flags and files to a resolved recipe, open data and loaded weights.
#include "cli/verbs/train/prepare.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <utility>

#include "base/log.h"
#include "cli/model/model_source.h"
#include "run/recipe/finetune.h"
#include "run/record/checkpoint.h"
#include "weights/labels/labels.h"

namespace nestvit::cli {
namespace {

namespace fs = std::filesystem;

// What a flag says as its key takes it: `--freeze a,b` is a list, timm's bfloat16 is bf16.
std::string as_value(const std::string& key, const std::string& text) {
  if (key == "amp") return text == "bfloat16" ? "bf16" : text == "float16" ? "fp16" : text;
  const bool list = key == "freeze" || key == "opt_betas";
  return !list || text.starts_with('[') ? text : "[" + text + "]";
}

// A path, absolute so that the run can be resumed from anywhere, as a quoted YAML word whatever its
// characters. A remote name stays.
std::string path_word(const std::string& path) {
  std::string word = "\"";
  const bool as_is = path.empty() || path.find("://") != std::string::npos;
  for (const char c : as_is ? path : fs::absolute(path).lexically_normal().string()) {
    if (c == '"' || c == '\\') word += '\\';
    word += c;
  }
  return word + '"';
}

Settings settings_of(const TrainArguments& arguments, const Invocation& invocation,
                     const Launch& launch) {
  Settings settings;
  settings.file = arguments.config;
  if (launch.size > 1 && !arguments.resume)
    settings.values.emplace_back("num_devices", std::to_string(launch.size));
  for (const auto& [option, flag] : arguments.switches)
    if (option->count() > 0) settings.values.emplace_back(flag->key, flag->value);
  for (const auto& [option, flag] : arguments.keys)
    if (option->count() > 0)
      settings.values.emplace_back(flag->key, as_value(flag->key, option->as<std::string>()));
  if (arguments.linear_probe) settings.values.emplace_back("freeze", "[backbone]");
  settings.values.insert(settings.values.end(), invocation.overrides.begin(),
                         invocation.overrides.end());
  if (!arguments.data_dir.empty()) settings.values.emplace_back("data.dir", arguments.data_dir);
  for (auto& [key, value] : settings.values)
    if (key == "data.dir" || key == "data.class_map" || key == "data.labels" ||
        key == "init_checkpoint")
      value = path_word(value);
  return settings;
}

Recipe with_settings(const Recipe& base, const Settings& settings,
                     const TrainArguments& arguments) {
  Recipe recipe = apply(base, settings);
  const double scale = 256.0 / static_cast<double>(std::max<int64_t>(1, step_images(recipe)));
  if (arguments.lr) recipe.learning_rate = *arguments.lr * scale;
  if (arguments.min_lr) recipe.min_learning_rate = *arguments.min_lr * scale;
  if (arguments.warmup_lr) recipe.warmup_learning_rate = *arguments.warmup_lr * scale;
  return recipe;
}

// `workdir`: of the run that goes on, with its indexes; empty for a new one.
void open_data(Prepared& prepared, const Recipe& recipe, const fs::path& workdir = {}) {
  if (recipe.data.dir.empty() && recipe.dataset.empty())
    throw UsageError("no data given", "name the folder: nestvit train DIR, or --data-dir DIR");
  const auto open = [&](const std::string& split, const char* part) {
    DatasetOptions options = dataset_options(recipe, split);
    if (!workdir.empty()) options.index = index_file(workdir, part);
    return open_dataset(options);
  };
  if (!recipe.eval_only) prepared.train = open(recipe.data.train_split, "train");
  prepared.val = open(recipe.data.val_split, "val");
  prepared.facts = data_facts(prepared.train ? *prepared.train : *prepared.val, *prepared.val);
}

void refuse_changed_keys(Recipe before, Recipe after) {
  const Fields old_fields = nestvit::fields(before), new_fields = nestvit::fields(after);
  std::vector<std::string> keys = locked_keys(before), also = locked_keys(after);
  keys.insert(keys.end(), also.begin(), also.end());
  for (const std::string& key : keys)
    if (old_fields.get(key) != new_fields.get(key))
      throw UsageError(fmt::format("{} was {} when the run started and is {} now", key,
                                   old_fields.get(key), new_fields.get(key)),
                       "a resumed run keeps its model, optimiser and data: leave the setting out, "
                       "or start anew in "
                       "another --workdir");
}

// The model that init_checkpoint names. What its file cannot say, the recipe may.
LoadedNetwork load_weights(const Recipe& asked, const Settings& settings, bool use_ema) {
  ImportOptions options;
  options.prefer_ema = use_ema;
  if (asked.model_name != Recipe().model_name) options.hints.variant = asked.model_name;
  for (const auto& [key, value] : settings.values)
    for (const char* unseen :
         {"nest.num_layers_per_block", "nest.num_heads", "nest.level_heads", "nest.attn_type"})
      if (key == unseen) options.hints.overrides.emplace_back(key.substr(5), value);
  return import_network(local_model(asked.init_checkpoint), options);
}

Recipe with_preset(const Recipe& base, const std::string& name) {
  return name.empty() ? base : apply(base, {"", preset(name)});
}

// The recipe before the user's settings and a preset go over it.
Recipe base_recipe(Prepared& prepared, const Recipe& asked, const Settings& settings) {
  const DataFacts& facts = prepared.facts;
  if (!settings.file.empty()) {
    prepared.base = settings.file.string();
    return prepared.weights ? with_weights(Recipe(), *prepared.weights, asked) : Recipe();
  }
  const std::string images =
      fmt::format("{} images of about {} pixels", human_count(facts.train_size), facts.short_side);
  prepared.base =
      fmt::format("the default for {}{}", prepared.weights ? "fine-tuning on " : "", images);
  return prepared.weights ? finetune_recipe(facts, *prepared.weights, asked)
                          : default_recipe(facts, asked.input_size);
}

Prepared prepare_fresh(const Settings& settings, const TrainArguments& arguments) {
  Prepared prepared;
  // Weights and data must be open before the recipe's base is known, so the settings are read
  // twice.
  const Recipe asked = with_settings(with_preset(Recipe(), arguments.recipe), settings, arguments);
  if (!asked.init_checkpoint.empty())
    prepared.weights = load_weights(asked, settings, arguments.use_ema);
  open_data(prepared, asked);
  const Recipe base = with_preset(base_recipe(prepared, asked, settings), arguments.recipe);
  if (!arguments.recipe.empty()) prepared.base += fmt::format(", over \"{}\"", arguments.recipe);
  prepared.recipe = with_settings(base, settings, arguments);
  if (prepared.weights) {
    check_architecture(prepared.recipe, *prepared.weights);
    // A part of the classes is enough to evaluate on.
    if (asked.eval_only && asked.num_classes == 0 &&
        classes_by_name(prepared.val->classes(), *prepared.weights))
      prepared.recipe.num_classes = prepared.weights->config.num_classes();
  }
  resolve(prepared.recipe, prepared.facts);
  if (prepared.weights) check_weights(prepared.recipe, *prepared.weights);
  return prepared;
}

Prepared prepare_resumed(const Settings& settings, const TrainArguments& arguments,
                         const fs::path& workdir) {
  const fs::path config = workdir / "config.yaml";
  if (!fs::exists(config))
    throw Error(fmt::format("{} holds no run to resume: there is no config.yaml", workdir.string()),
                "give the --workdir of a run that was started, or leave --resume out");
  if (!arguments.recipe.empty())
    throw UsageError("--recipe begins a run, and --resume goes on with one",
                     "leave --recipe out: config.yaml of the run holds its recipe");
  Prepared prepared;
  prepared.base = config.string();
  const Recipe before = apply(Recipe(), {config, {}});
  prepared.recipe = with_settings(before, settings, arguments);
  if (prepared.recipe.eval_only)
    throw UsageError(
        "eval_only evaluates init_checkpoint, not a run",
        fmt::format("for the run: nestvit eval --model {}", (workdir / "best").string()));
  if (prepared.recipe.init_checkpoint != before.init_checkpoint)
    log_info(fmt::format("{} is not read: a resumed run goes on from its own checkpoint",
                         std::exchange(prepared.recipe.init_checkpoint, before.init_checkpoint)));
  open_data(prepared, prepared.recipe, workdir);
  resolve(prepared.recipe, prepared.facts);
  refuse_changed_keys(before, prepared.recipe);
  return prepared;
}

fs::path choose_workdir(const TrainArguments& arguments, const Recipe* recipe) {
  if (!arguments.resume_dir.empty()) return arguments.resume_dir;
  fs::path workdir = arguments.workdir;
  if (workdir.empty()) {
    if (!recipe)
      throw UsageError("which run shall go on?",
                       "name its folder: --resume DIR, or --workdir DIR --resume");
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    char date[32];
    std::strftime(date, sizeof date, "%Y%m%d-%H%M%S", &local);
    workdir = fmt::format("output/train/{}-{}-{}", date, recipe->model_name, recipe->input_size);
  }
  return arguments.exp_id.empty() ? workdir : workdir / arguments.exp_id;
}

// `--resume DIR` names the run, but in `--workdir OUT --resume DIR` the word is the data's folder.
void sort_out_folders(TrainArguments& arguments) {
  if (!arguments.resume_dir.empty() && !arguments.workdir.empty()) {
    if (!arguments.dir.empty())
      throw UsageError(fmt::format("--resume {} and --workdir {} name two runs",
                                   arguments.resume_dir, arguments.workdir),
                       "give one of them");
    arguments.dir = std::exchange(arguments.resume_dir, "");
  }
  if (!arguments.dir.empty() && !arguments.data_dir.empty() && arguments.dir != arguments.data_dir)
    throw UsageError(
        fmt::format("two data folders: {} and --data-dir {}", arguments.dir, arguments.data_dir),
        "give one of them");
  if (arguments.data_dir.empty()) arguments.data_dir = arguments.dir;
}

}  // namespace

Prepared prepare(TrainArguments arguments, const Invocation& invocation, const Launch& launch) {
  sort_out_folders(arguments);
  if (launch.restarts > 0 && !arguments.resume && !arguments.workdir.empty())
    arguments.resume = fs::exists(choose_workdir(arguments, nullptr) / "config.yaml");
  const Settings settings = settings_of(arguments, invocation, launch);
  Prepared prepared = arguments.resume
                          ? prepare_resumed(settings, arguments, choose_workdir(arguments, nullptr))
                          : prepare_fresh(settings, arguments);
  prepared.workdir = choose_workdir(arguments, &prepared.recipe);
  prepared.resumed = arguments.resume;
  return prepared;
}

}  // namespace nestvit::cli

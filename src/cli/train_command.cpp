// nestvit train: from flags to a resolved recipe, an announcement of what is in force, and the run.
#include "train_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <ctime>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "base/log.h"
#include "data/split.h"
#include "options.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace nestvit::cli {
namespace {

namespace fs = std::filesystem;
using train::DataFacts;
using train::Recipe;
using train::Settings;

// A flag that is another name for a recipe key, mostly timm's.
struct KeyFlag {
  const char* flags;
  const char* key;
  const char* value;
  const char* help;
};
constexpr KeyFlag kKeyFlags[] = {
    {"--dataset", "dataset", "NAME",
     "What lies in DIR: folder, cifar10, cifar100, fashion-mnist, idx or csv. Recognised from the "
     "files when left out."},
    {"--train-split", "data.train_split", "NAME", "The split to train on."},
    {"--val-split", "data.val_split", "NAME", "The split to evaluate on."},
    {"--val-share", "data.val_share", "SHARE",
     "Share of each class that is kept for evaluation when a folder has no val/ (0.2)."},
    {"--class-order", "data.class_order", "natural|plain",
     "Order of classes named by folders: natural puts class2 before class10, plain sorts bytes as "
     "torchvision."},
    {"--class-map", "data.class_map", "FILE",
     "Class names, one per line; the line number, from 0, is the index."},
    {"--on-bad-image", "data.on_bad_image", "error|skip",
     "What an unreadable image does: end the run with an error that names it, or be left out and "
     "listed in log.jsonl."},
    {"--model", "model_name", "NAME", "A variant by name; \"nestvit inspect NAME\" describes it."},
    {"--img-size", "input_size", "N", "Side of the square input in pixels."},
    {"--in-chans", "in_channels", "1|3", "Channels of the input: grey or RGB."},
    {"--num-classes", "num_classes", "N", "Classes of the model, when more than the data has."},
    {"--drop-path", "nest.stochastic_depth_drop", "RATE", "Drop-path rate of the last layer."},
    {"--epochs", "num_epochs", "N", "Passes over the training images."},
    {"-b,--batch-size", "per_device_batch_size", "N", "Images per step."},
    {"--opt", "optim", "adamw|adam|sgd", "The optimiser."},
    {"--lr-base", "learning_rate", "X",
     "Peak learning rate for a batch of 256; scaled by batch / 256."},
    {"--momentum", "sgd_momentum", "X", "Nesterov momentum of sgd."},
    {"--weight-decay", "weight_decay", "X", "Weight decay."},
    {"--sched", "learning_rate_schedule", "cosine|linear|constant",
     "How the learning rate falls after warm-up."},
    {"--warmup-epochs", "warmup_epochs", "X", "Epochs in which the learning rate grows from 0."},
    {"--clip-grad", "grad_clip_max_norm", "X", "Clip the global gradient norm to this; 0 is off."},
    {"--smoothing", "mix.smoothing", "X", "Label smoothing."},
    {"--seed", "seed", "N",
     "Seed of the weights, the order of the data, transforms, drop-path and the split."},
    {"--log-interval", "log_loss_every_steps", "N", "Steps between training lines in log.jsonl."},
    {"--checkpoint-hist", "checkpoint_hist", "N",
     "How many of the newest checkpoints stay, beside the best."},
};

struct TrainArguments {
  std::string dir, data_dir, config, workdir, exp_id, resume_dir;
  bool resume = false;
  std::optional<double> lr, min_lr;  // for the batch itself, not for 256
  int workers = 0;
  int threads = 0;
  std::deque<std::string> texts;  // what CLI11 writes into; a deque keeps addresses
  std::vector<std::pair<CLI::Option*, const KeyFlag*>> keys;
};

// ---- signals ----

volatile std::sig_atomic_t stop_signal = 0;

extern "C" void on_stop_signal(int signal) {
  if (stop_signal != 0) _exit(128 + signal);  // asked twice: now
  stop_signal = signal;
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// ---- from arguments to a recipe ----

// A path, absolute so that the run can be resumed from anywhere, as a quoted YAML word whatever its
// characters.
std::string path_word(const std::string& path) {
  std::string word = "\"";
  for (const char c : path.empty() ? path : fs::absolute(path).lexically_normal().string()) {
    if (c == '"' || c == '\\') word += '\\';
    word += c;
  }
  return word + '"';
}

Settings settings_of(const TrainArguments& arguments, const Invocation& invocation) {
  Settings settings;
  settings.file = arguments.config;
  for (const auto& [option, flag] : arguments.keys)
    if (option->count() > 0) settings.values.emplace_back(flag->key, option->as<std::string>());
  settings.values.insert(settings.values.end(), invocation.overrides.begin(),
                         invocation.overrides.end());
  if (!arguments.data_dir.empty()) settings.values.emplace_back("data.dir", arguments.data_dir);
  for (auto& [key, value] : settings.values)
    if (key == "data.dir" || key == "data.class_map") value = path_word(value);
  return settings;
}

Recipe with_settings(const Recipe& base, const Settings& settings,
                     const TrainArguments& arguments) {
  Recipe recipe = train::apply(base, settings);
  const double scale = 256.0 / std::max(1, recipe.per_device_batch_size);
  if (arguments.lr) recipe.learning_rate = *arguments.lr * scale;
  if (arguments.min_lr) recipe.min_learning_rate = *arguments.min_lr * scale;
  return recipe;
}

struct Datasets {
  std::unique_ptr<Dataset> train, val;
};

Datasets open_datasets(const Recipe& recipe) {
  if (recipe.data.dir.empty() && recipe.dataset.empty())
    throw UsageError("no data given", "name the folder: nestvit train DIR, or --data-dir DIR");
  return {open_dataset(dataset_options(recipe, recipe.data.train_split)),
          open_dataset(dataset_options(recipe, recipe.data.val_split))};
}

void refuse_changed_keys(Recipe before, Recipe after) {
  const Fields old_fields = train::fields(before), new_fields = train::fields(after);
  for (const std::string& key : train::locked_keys(before))
    if (old_fields.get(key) != new_fields.get(key))
      throw UsageError(fmt::format("{} was {} when the run started and is {} now", key,
                                   old_fields.get(key), new_fields.get(key)),
                       "a resumed run keeps its model, optimiser and data: leave the setting out, "
                       "or start anew in "
                       "another --workdir");
}

struct Prepared {
  Recipe recipe;
  Datasets data;
  DataFacts facts;
  std::string base;  // where the recipe starts from, for the announcement
};

Prepared prepare_fresh(const Settings& settings, const TrainArguments& arguments) {
  Prepared prepared;
  // The data must be open before its default recipe is known, so the settings are read twice.
  const Recipe asked = with_settings(Recipe(), settings, arguments);
  prepared.data = open_datasets(asked);
  prepared.facts = train::data_facts(*prepared.data.train, *prepared.data.val);
  const bool own = settings.file.empty();
  prepared.base =
      own ? fmt::format("the default for {} images of about {} pixels",
                        human_count(prepared.facts.train_size), prepared.facts.short_side)
          : settings.file.string();
  prepared.recipe =
      with_settings(own ? train::default_recipe(prepared.facts, asked.input_size) : Recipe(),
                    settings, arguments);
  train::resolve(prepared.recipe, prepared.facts);
  return prepared;
}

Prepared prepare_resumed(const Settings& settings, const TrainArguments& arguments,
                         const fs::path& workdir) {
  const fs::path config = workdir / "config.yaml";
  if (!fs::exists(config))
    throw Error(fmt::format("{} holds no run to resume: there is no config.yaml", workdir.string()),
                "give the --workdir of a run that was started, or leave --resume out");
  Prepared prepared;
  prepared.base = config.string();
  const Recipe before = train::apply(Recipe(), {config, {}});
  prepared.recipe = with_settings(before, settings, arguments);
  prepared.data = open_datasets(prepared.recipe);
  prepared.facts = train::data_facts(*prepared.data.train, *prepared.data.val);
  train::resolve(prepared.recipe, prepared.facts);
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

// ---- what is in force ----

std::string class_list(const std::vector<std::string>& classes) {
  constexpr size_t kShown = 12;
  const std::vector<std::string> shown(classes.begin(),
                                       classes.begin() + std::min(classes.size(), kShown));
  return fmt::format(
      "{}: {}{}", classes.size(), fmt::join(shown, ", "),
      classes.size() > kShown ? fmt::format(", and {} more", classes.size() - kShown) : "");
}

std::string split_source(const Recipe& recipe, const DataFacts& facts) {
  if (facts.kind != "image folder") return "";
  for (const std::string& name : split_names(parse_split(recipe.data.val_split)))
    if (fs::is_directory(fs::path(recipe.data.dir) / name)) return fmt::format(" (from {}/)", name);
  return fmt::format(" ({:.0f} % of each class, drawn with seed {})", 100 * recipe.data.val_share,
                     recipe.seed);
}

std::string transform_text(const Recipe& recipe) {
  switch (recipe.train_transform) {
    case train::TransformChoice::kCrop:
      return "random crop of 5 to 100 % of the area, flip";
    case train::TransformChoice::kPad:
      return "shift by up to 2 pixels, flip";
    case train::TransformChoice::kFlip:
      return "flip";
    default:
      return "none";
  }
}

void announce(const Prepared& prepared) {
  const Recipe& r = prepared.recipe;
  const Preprocessing& p = r.preprocessing;
  log_info(fmt::format("recipe         {}", prepared.base));
  log_info(fmt::format("data           {}{}: {} images to train on, {} to evaluate{}",
                       prepared.facts.kind, r.data.dir.empty() ? "" : " " + r.data.dir,
                       human_count(prepared.facts.train_size), human_count(prepared.facts.val_size),
                       split_source(r, prepared.facts)));
  log_info(fmt::format("classes        {}", class_list(prepared.data.train->classes())));
  std::string levels;
  for (const Level& level : geometry(r.nest))
    levels += fmt::format("{}{} x {} tokens of {} channels, {} layer{}", levels.empty() ? "" : "; ",
                          level.blocks, level.tokens, level.width, level.depth,
                          level.depth == 1 ? "" : "s");
  log_info(fmt::format("model          {}, input {} x {} x {}: {}", r.model_name, r.in_channels,
                       r.input_size, r.input_size, levels));
  log_info(fmt::format("transforms     {}; label smoothing {}; drop-path {}", transform_text(r),
                       r.mix.smoothing, r.nest.stochastic_depth_drop));
  const bool plain = std::all_of(p.mean.begin(), p.mean.end(), [](double m) { return m == 0; }) &&
                     std::all_of(p.std.begin(), p.std.end(), [](double s) { return s == 1; });
  log_info(plain ? "normalisation  none, pixels stay in [0, 1] (as in the official code when no "
                   "augmentation key is set)"
                 : fmt::format("normalisation  mean [{:.4g}], std [{:.4g}]",
                               fmt::join(p.mean, ", "), fmt::join(p.std, ", ")));
  const std::vector<std::string> missing = train::not_in_force(r);
  if (!missing.empty())
    log_warning(
        fmt::format("not in force yet: {}; these keys are read, but what they ask for is not built",
                    fmt::join(missing, ", ")));
}

// ---- the verb ----

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

int run_training(TrainArguments arguments, const Invocation& invocation) {
  sort_out_folders(arguments);
  const Settings settings = settings_of(arguments, invocation);
  const Prepared prepared =
      arguments.resume ? prepare_resumed(settings, arguments, choose_workdir(arguments, nullptr))
                       : prepare_fresh(settings, arguments);
  announce(prepared);
  train::TrainOptions options;
  options.workdir = choose_workdir(arguments, &prepared.recipe);
  options.resume = arguments.resume;
  // Two keep small images coming; more would take cores from the training itself.
  options.workers = arguments.workers > 0
                        ? arguments.workers
                        : std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 2);
  options.threads = arguments.threads;
  options.stop = [] { return static_cast<int>(stop_signal); };
  catch_signals();
  const train::TrainResult result =
      train::train(prepared.recipe, *prepared.data.train, *prepared.data.val, options);
  const std::string workdir = options.workdir.string();
  if (result.signal != 0) {
    log_info(fmt::format("stopped after step {}; to go on: nestvit train --resume {}",
                         human_count(result.step), workdir));
    return 128 + result.signal;
  }
  if (result.best_top1)
    log_info(fmt::format("best top-1 {:.2f} %; the model: {}/best", *result.best_top1, workdir));
  return 0;
}

void declare_options(CLI::App& app, TrainArguments& a) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // as argparse
  add_text(app, "DIR", &a.dir, "DIR",
           "The data: a folder with one sub-folder of images per class, or with CIFAR or IDX "
           "files, or a .csv list.");
  add_text(app, "--data-dir", &a.data_dir, "DIR", "The same, as an option.");
  add_text(app, "-c,--config", &a.config, "FILE",
           "The recipe, YAML with the official keys (configs/, docs/training.md). Left out: a "
           "recipe is chosen by the number "
           "and size of the images, and printed.");
  add_text(app, "--workdir,--output", &a.workdir, "DIR",
           "The run's folder. Left out: ./output/train/{date}-{time}-{model}-{size}.");
  add_text(app, "--exp_id,--experiment", &a.exp_id, "NAME",
           "Use the folder NAME inside the run's folder.");
  app.add_option("--resume", a.resume_dir,
                 "Go on from the last checkpoint of the run in DIR, or in --workdir: same data "
                 "order, optimiser state and "
                 "history. Settings that the weights hang on may not change.")
      ->type_name("DIR")
      ->expected(0, 1);
  for (const KeyFlag& flag : kKeyFlags) {
    a.texts.emplace_back();
    a.keys.emplace_back(
        app.add_option(flag.flags, a.texts.back(), fmt::format("{} Key {}.", flag.help, flag.key))
            ->type_name(flag.value),
        &flag);
  }
  app.add_option("--lr", a.lr, "Peak learning rate for the batch as it is, not scaled.")
      ->type_name("X");
  app.add_option("--min-lr", a.min_lr, "Floor of the learning rate after warm-up, not scaled.")
      ->type_name("X");
  add_number(app, "-j,--workers", &a.workers, 0,
             "Threads that read and transform images; 0: one or two.");
  add_number(app, "--threads", &a.threads, 0,
             "Threads that compute; 0: as many as there are processors.");
}

constexpr const char* kDetails =
    "Any key of the recipe can be set as --config.KEY=VALUE, nested ones with dots and lists in "
    "brackets: "
    "--config.nest.num_layers_per_block=[1,1,2]. They win over flags, flags over the file. "
    "docs/training.md documents "
    "every key.\n"
    "The run's folder gets config.yaml (the whole recipe), summary.csv, log.jsonl, "
    "checkpoints/step-N, and the links "
    "last and best. Each of those is a model directory for eval, predict and timm. Ctrl-C and "
    "SIGTERM save a checkpoint "
    "and exit with 130 and 143; a second one exits at once.";

constexpr const char* kExamples =
    "# a folder of images, one sub-folder per class\n"
    "nestvit train photos --workdir out\n"
    "# go on where it stopped\n"
    "nestvit train --resume out\n"
    "# the official CIFAR-10 recipe, shorter\n"
    "nestvit train --config configs/cifar_nest.yaml --data-dir cifar-10-batches-bin --workdir out "
    "--epochs 30\n"
    "# Fashion-MNIST (Debian: dataset-fashion-mnist), another width\n"
    "nestvit train --config configs/fashion_mnist_nest.yaml --workdir out "
    "--config.nest.embedding_dim=96\n"
    "# larger images, smaller steps\n"
    "nestvit train photos --img-size 128 --epochs 60 -b 64 --lr 5e-4";

}  // namespace

std::vector<std::string> plain_overrides(std::vector<std::string> arguments) {
  Recipe recipe;
  const Fields fields = train::fields(recipe);
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument.starts_with("--noconfig.")) {
      argument = "--config." + argument.substr(11) + "=false";
    } else if (argument.starts_with("--config.") && argument.find('=') == std::string::npos) {
      for (const Field& field : fields.list())
        if (argument == "--config." + field.key && std::holds_alternative<bool*>(field.value))
          argument += "=true";
    }
  }
  return arguments;
}

Verb train_verb() {
  Verb verb;
  verb.name = "train";
  verb.summary = "Train a model on a folder of images or a known dataset.";
  verb.details = kDetails;
  verb.examples = kExamples;
  verb.overrides = true;
  verb.declare = [](CLI::App& app, const Invocation& invocation) {
    auto arguments = std::make_shared<TrainArguments>();
    declare_options(app, *arguments);
    const CLI::Option* resume = app.get_option("--resume");
    return [arguments, resume, &invocation] {
      arguments->resume = resume->count() > 0;
      return run_training(*arguments, invocation);
    };
  };
  return verb;
}

}  // namespace nestvit::cli

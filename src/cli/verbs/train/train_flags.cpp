// The table of flags, and from what was typed to a RunRequest.
#include "cli/verbs/train/train_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <utility>

#include "base/log.h"
#include "cli/model/model_source.h"
#include "cli/program/options.h"
#include "run/record/checkpoint.h"

namespace nestvit::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAuto = "auto";

constexpr KeyFlag kKeyFlags[] = {
    {"--dataset", "dataset", "NAME"},
    {"--train-split", "data.train_split", "NAME"},
    {"--val-split", "data.val_split", "NAME"},
    {"--val-share", "data.val_share", "SHARE"},
    {"--labels", "data.labels", "FILE"},
    {"--class-order", "data.class_order", nullptr},
    {"--class-map", "data.class_map", "FILE"},
    {"--on-bad-image", "data.on_bad_image", nullptr},
    {"--model", "model_name", "NAME"},
    {"--img-size", "input_size", "N"},
    {"--in-chans", "in_channels", "1|3"},
    {"--num-classes", "num_classes", "N"},
    {"--drop-path", "nest.stochastic_depth_drop", "RATE"},
    {"--initial-checkpoint,--pretrained-path", "init_checkpoint", "MODEL"},
    {"--freeze", "freeze", "NAMES"},
    {"--layer-decay", "layer_decay", "X"},
    {"--epochs", "num_epochs", "N"},
    {"-b,--batch-size", "per_device_batch_size", "N"},
    {"--grad-accum-steps", "grad_accum_steps", "N"},
    {"--amp-dtype", "amp", nullptr},
    {"--opt", "optim", nullptr},
    {"--opt-eps", "opt_eps", "X"},
    {"--opt-betas", "opt_betas", "X,Y"},
    {"--lr-base", "learning_rate", "X"},
    {"--momentum", "sgd_momentum", "X"},
    {"--weight-decay", "weight_decay", "X"},
    {"--sched", "learning_rate_schedule", nullptr},
    {"--warmup-epochs", "warmup_epochs", "X"},
    {"--model-ema-decay", "model_ema_decay", "X"},
    {"--clip-grad", "grad_clip_max_norm", "X"},
    {"--aa", "augment.type", "NAME"},
    {"--reprob", "randerasing.erase_prob", "X"},
    {"--remode", "randerasing.mode", nullptr},
    {"--recount", "randerasing.count", "N"},
    {"--mixup", "mix.mixup_alpha", "X"},
    {"--cutmix", "mix.cutmix_alpha", "X"},
    {"--mixup-prob", "mix.prob_to_apply", "X"},
    {"--mixup-switch-prob", "mix.switch_prob", "X"},
    {"--smoothing", "mix.smoothing", "X"},
    {"--sampler", "data.sampler", nullptr},
    {"--patience", "patience", "N"},
    {"--min-delta", "min_delta", "X"},
    {"--seed", "seed", "N"},
    {"--log-interval", "log_loss_every_steps", "N"},
    {"--checkpoint-hist", "checkpoint_hist", "N"},
};

constexpr Switch kSwitches[] = {
    {"--amp", "amp", "bf16"},
    {"--grad-checkpointing", "grad_checkpointing", "true"},
    {"--sync-bn", "sync_bn", "true"},
    {"--model-ema", "model_ema", "true"},
    {"--model-ema-warmup", "model_ema_warmup", "true"},
};

// "Images per batch. Key per_device_batch_size."
std::string flag_help(const Field& field, const std::string& set_to = "") {
  std::string help = field.help;
  if (help[0] >= 'a' && help[0] <= 'z') help[0] = static_cast<char>(help[0] - 'a' + 'A');
  return fmt::format("{}. Key {}{}.", help, field.key, set_to);
}

const Field& field_of(const Fields& fields, const std::string& key) {
  for (const Field& field : fields.list())
    if (field.key == key) return field;
  throw Error(fmt::format("no recipe key {}", key));
}

std::string value_of(const KeyFlag& flag, const Field& field) {
  return flag.value ? flag.value
                    : fmt::format("{}", fmt::join(std::get<Choice>(field.value).names, "|"));
}

void declare_key_flags(CLI::App& app, TrainArguments& a) {
  Recipe recipe;
  const Fields keys = fields(recipe);
  for (const KeyFlag& flag : kKeyFlags) {
    const Field& field = field_of(keys, flag.key);
    a.texts.emplace_back();
    a.keys.emplace_back(app.add_option(flag.flags, a.texts.back(), flag_help(field))
                            ->type_name(value_of(flag, field)),
                        &flag);
  }
  for (const Switch& flag : kSwitches) {
    const std::string help =
        flag_help(field_of(keys, flag.key), fmt::format(", set to {}", flag.value));
    a.switches.emplace_back(app.add_flag(flag.name, help), &flag);
  }
}

// The data, the recipe's file and the run's folder.
void declare_folder_flags(CLI::App& app, TrainArguments& a) {
  add_text(app, "DIR", &a.dir, "DIR",
           "The data: a folder with one sub-folder of images per class, or with CIFAR or IDX "
           "files, or a .csv list.");
  add_text(app, "--data-dir", &a.data_dir, "DIR", "The same, as an option.");
  add_text(app, "-c,--config", &a.config, "FILE",
           "The recipe, YAML with the official keys (configs/). Left out: a recipe is chosen by "
           "the number and size of the images, and printed.");
  add_text(app, "--workdir,--output", &a.workdir, "DIR",
           "The run's folder. Left out: ./output/train/{date}-{time}-{model}-{size}.");
  add_text(app, "--exp_id,--experiment", &a.exp_id, "NAME",
           "Use the folder NAME inside the run's folder.");
  app.add_option("--resume", a.resume_dir,
                 "Resume from the last checkpoint of the run in DIR, or in --workdir: same data "
                 "order, optimiser state and history. Settings that the weights depend on may not "
                 "change. auto: where --workdir has a checkpoint; else the run starts.")
      ->type_name("DIR")
      ->expected(0, 1);
}

// What stands for several keys, or for a key in other units.
void declare_recipe_flags(CLI::App& app, TrainArguments& a) {
  add_text(app, "--recipe", &a.recipe, "paper|timm",
           "How to train, before --config and flags go over it: augmentation, mixing, decay and "
           "averaging as the paper's code or as timm's users do. docs/recipes.md has the "
           "numbers.");
  add_flag(app, "--linear-probe", &a.linear_probe, "Train the head alone: --freeze backbone.");
  add_flag(app, "--use-ema", &a.use_ema,
           "Take the averaged (EMA) weights of an --initial-checkpoint that has them.");
  app.add_option("--lr", a.lr, "Peak learning rate for the batch as it is, not scaled.")
      ->type_name("X");
  app.add_option("--min-lr", a.min_lr, "Floor of the learning rate after warm-up, not scaled.")
      ->type_name("X");
  app.add_option("--warmup-lr", a.warmup_lr, "Where warm-up begins, not scaled.")->type_name("X");
}

// Which processors and devices compute; not part of the recipe.
void declare_machine_flags(CLI::App& app, TrainArguments& a) {
  add_number(
      app, "-j,--workers", &a.workers, 0,
      "Threads that read and transform images; 0: one or two, beside a GPU one per processor that "
      "this process may use.");
  add_number(
      app, "--threads", &a.threads, 0,
      "Threads that compute; 0: as many as this process may use (OMP_NUM_THREADS, affinity, cgroup "
      "quota).");
  add_number(app, "--nproc,--nproc-per-node", &a.nproc, 0,
             "Train in N processes on this machine, each with a share of its processors and "
             "batches of its own. For several machines: torchrun, srun or mpirun "
             "(scripts/launch).");
  add_number(app, "--dist-timeout", &a.dist_timeout, 1,
             "Seconds that the processes wait for one that does not come, before the job ends.");
  app.add_option("--local_rank,--local-rank", "Read for compatibility: LOCAL_RANK counts.")
      ->type_name("N")
      ->expected(1);
  add_text(app, "--dist-backend", &a.dist_backend, "auto|nccl|gloo",
           "What carries gradients between GPUs: NCCL from GPU to GPU, or Gloo by way of the CPU. "
           "auto is NCCL where all processes can. A backend that is named is used by a single "
           "process, too.");
  add_flag(app, "--cuda-graph", &a.cuda_graph,
           "Record forward and backward as a CUDA graph, and replay it for every whole batch.");
  add_text(app, "--device", &a.device, "cpu|cuda|cuda:I",
           "Where the network computes. A GPU needs libtorch's CUDA library: see NESTVIT_TORCH_LIB "
           "in docs/gpu.md.");
}

// A flag's text as its key takes it: `--freeze a,b` is a list, timm's bfloat16 is bf16.
std::string as_value(const std::string& key, const std::string& text) {
  if (key == "amp") return text == "bfloat16" ? "bf16" : text == "float16" ? "fp16" : text;
  const bool list = key == "freeze" || key == "opt_betas";
  return !list || text.starts_with('[') ? text : "[" + text + "]";
}

// A path as a quoted YAML word, whatever its characters.
std::string path_word(const std::string& path) {
  std::string word = "\"";
  for (const char c : path) {
    if (c == '"' || c == '\\') word += '\\';
    word += c;
  }
  return word + '"';
}

Settings::Values values_of(const TrainArguments& arguments, const Invocation& invocation,
                           const Launch& launch) {
  Settings::Values values;
  if (launch.size > 1 && !arguments.resume)
    values.emplace_back("num_devices", std::to_string(launch.size));
  for (const auto& [option, flag] : arguments.switches)
    if (option->count() > 0) values.emplace_back(flag->key, flag->value);
  for (const auto& [option, flag] : arguments.keys)
    if (option->count() > 0)
      values.emplace_back(flag->key, as_value(flag->key, option->as<std::string>()));
  if (arguments.linear_probe) values.emplace_back("freeze", "[backbone]");
  values.insert(values.end(), invocation.overrides.begin(), invocation.overrides.end());
  if (!arguments.data_dir.empty()) values.emplace_back("data.dir", arguments.data_dir);
  for (auto& [key, value] : values)
    if (key == "data.dir" || key == "data.class_map" || key == "data.labels" ||
        key == "init_checkpoint")
      value = path_word(value);
  return values;
}

fs::path in_experiment(const fs::path& workdir, const TrainArguments& arguments) {
  const fs::path folder = arguments.exp_id.empty() ? workdir : workdir / arguments.exp_id;
  return folder.has_filename() ? folder : folder.parent_path();  // out/ is out
}

// `--resume auto`, and a job that its launcher has started again: whether the run goes on depends
// on what is there.
void decide_resume(TrainArguments& arguments, const Launch& launch) {
  if (arguments.resume_dir == kAuto) {
    arguments.resume_dir.clear();
    arguments.resume_auto = true;
    if (arguments.workdir.empty())
      throw UsageError("--resume auto needs the folder of the run",
                       "name it: --workdir DIR --resume auto");
  } else if (launch.restarts > 0 && !arguments.resume && !arguments.workdir.empty()) {
    arguments.resume_auto = true;
  }
  if (!arguments.resume_auto) return;
  arguments.resume = Checkpoints(in_experiment(arguments.workdir, arguments), 1).any();
  if (!arguments.resume || arguments.recipe.empty()) return;
  log_info(fmt::format("--recipe {} is not read: config.yaml of the run holds its recipe",
                       std::exchange(arguments.recipe, "")));
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

fs::path resumed_folder(const TrainArguments& arguments) {
  if (!arguments.resume_dir.empty()) {
    const fs::path folder = arguments.resume_dir;
    return folder.has_filename() ? folder : folder.parent_path();
  }
  if (arguments.workdir.empty())
    throw UsageError("which run should be resumed?",
                     "name its folder: --resume DIR, or --workdir DIR --resume");
  return in_experiment(arguments.workdir, arguments);
}

}  // namespace

std::string flags_of_key(const std::string& key) {
  std::vector<std::string> flags;
  for (const KeyFlag& flag : kKeyFlags)
    if (key == flag.key)
      for (const std::string& name : CLI::detail::split(flag.flags, ',')) flags.push_back(name);
  for (const Switch& flag : kSwitches)
    if (key == flag.key) flags.emplace_back(flag.name);
  return fmt::format("{}", fmt::join(flags, ", "));
}

void declare_train_flags(CLI::App& app, TrainArguments& a) {
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // as argparse
  declare_folder_flags(app, a);
  declare_key_flags(app, a);
  declare_recipe_flags(app, a);
  declare_machine_flags(app, a);
  add_flag(app, "--help-keys", &a.help_keys, "Print every key of the recipe with its meaning.");
}

RunRequest request_of(TrainArguments arguments, const Invocation& invocation,
                      const Launch& launch) {
  decide_resume(arguments, launch);
  sort_out_folders(arguments);
  RunRequest request;
  request.settings = Settings(arguments.config, values_of(arguments, invocation, launch));
  request.named_recipe = arguments.recipe;
  request.learning_rate = arguments.lr;
  request.min_learning_rate = arguments.min_lr;
  request.warmup_learning_rate = arguments.warmup_lr;
  request.prefer_ema = arguments.use_ema;
  if (arguments.resume) request.resume = resumed_folder(arguments);
  return request;
}

fs::path new_workdir(const TrainArguments& arguments, const Recipe& recipe) {
  if (!arguments.workdir.empty()) return in_experiment(arguments.workdir, arguments);
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char date[32];
  std::strftime(date, sizeof date, "%Y%m%d-%H%M%S", &local);
  return in_experiment(
      fmt::format("output/train/{}-{}-{}", date, recipe.model_name, recipe.input_size), arguments);
}

LoadedNetwork fetch_network(const std::string& name, const ImportOptions& options) {
  return import_network(local_model(name), options);
}

std::vector<std::string> plain_overrides(std::vector<std::string> arguments) {
  Recipe recipe;
  const Fields keys = fields(recipe);
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument.starts_with("--noconfig.")) {
      argument = "--config." + argument.substr(11) + "=false";
    } else if (argument.starts_with("--config.") && argument.find('=') == std::string::npos) {
      for (const Field& field : keys.list())
        if (argument == "--config." + field.key && std::holds_alternative<bool*>(field.value))
          argument += "=true";
    }
  }
  return arguments;
}

}  // namespace nestvit::cli

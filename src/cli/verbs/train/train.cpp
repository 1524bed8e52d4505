// nestvit train: from flags to a resolved recipe, an announcement of what is in force, and the run.
#include "cli/verbs/train/train.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <memory>

#include "base/log.h"
#include "cli/program/options.h"
#include "cli/verbs/train/announce.h"
#include "cli/verbs/train/prepare.h"
#include "cli/verbs/train/spawn.h"
#include "run/recipe/recipe.h"
#include "train/device/out_of_memory.h"
#include "train/device/process_setup.h"
#include "train/eval_only.h"
#include "train/group/group.h"
#include "train/trainer.h"

namespace nestvit::cli {
namespace {

constexpr KeyFlag kKeyFlags[] = {
    {"--dataset", "dataset", "NAME",
     "What lies in DIR: folder, imagenet, tfds/NAME, cifar10, cifar100, fashion-mnist, idx, csv or "
     "wds. "
     "Recognised from the "
     "files when left out."},
    {"--train-split", "data.train_split", "NAME", "The split to train on."},
    {"--val-split", "data.val_split", "NAME", "The split to evaluate on."},
    {"--val-share", "data.val_share", "SHARE",
     "Share of each class that is kept for evaluation when a folder has no val/ (0.2)."},
    {"--labels", "data.labels", "FILE",
     "Labels of validation images that lie in one folder; nestvit eval --help lists the forms."},
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
    {"--initial-checkpoint,--pretrained-path", "init_checkpoint", "MODEL",
     "Weights to start from: a model directory, a .safetensors or .pth file, an official "
     "checkpoint folder, hf://OWNER/NAME. The model, its GELU, pooling and preprocessing are then "
     "theirs; position embeddings are resized and the head is replaced as the data needs."},
    {"--freeze", "freeze", "NAMES",
     "Parameters that stay as they are, by the beginnings of their names: "
     "patch_embed,levels.0,levels.1; backbone is all but the head."},
    {"--layer-decay", "layer_decay", "X",
     "Learning rate of each layer over that of the next, as timm's; 0.75 is common, 1 is off."},
    {"--epochs", "num_epochs", "N", "Passes over the training images."},
    {"-b,--batch-size", "per_device_batch_size", "N", "Images per step."},
    {"--grad-accum-steps", "grad_accum_steps", "N",
     "Batches whose gradients make one step; the learning rate is scaled by all their images."},
    {"--amp-dtype", "amp", "bf16|fp16|tf32",
     "Products and convolutions in 16 bits, on a GPU also tf32; weights and optimiser stay f32. "
     "Also bfloat16 and float16, as in timm."},
    {"--opt", "optim", "adamw|adam|sgd", "The optimiser."},
    {"--opt-eps", "opt_eps", "X", "Epsilon of adamw and adam (1e-8)."},
    {"--opt-betas", "opt_betas", "X,Y", "Betas of adamw and adam (0.9,0.999)."},
    {"--lr-base", "learning_rate", "X",
     "Peak learning rate for a batch of 256; scaled by batch / 256."},
    {"--momentum", "sgd_momentum", "X", "Nesterov momentum of sgd."},
    {"--weight-decay", "weight_decay", "X", "Weight decay."},
    {"--sched", "learning_rate_schedule", "cosine|linear|constant",
     "How the learning rate falls after warm-up."},
    {"--warmup-epochs", "warmup_epochs", "X", "Epochs in which the learning rate grows from 0."},
    {"--model-ema-decay", "model_ema_decay", "X",
     "What the running average of --model-ema keeps of itself per step (0.9998)."},
    {"--clip-grad", "grad_clip_max_norm", "X", "Clip the global gradient norm to this; 0 is off."},
    {"--aa", "augment.type", "NAME",
     "randaugment (the paper's), or timm's string: rand-m9-mstd0.5-inc1."},
    {"--reprob", "randerasing.erase_prob", "X", "Share of images with random boxes erased."},
    {"--remode", "randerasing.mode", "pixel|rand|const",
     "What the boxes are filled with (timm's style): noise, one random colour, the mean."},
    {"--recount", "randerasing.count", "N", "Most boxes per image (timm's style)."},
    {"--mixup", "mix.mixup_alpha", "X", "Mixup's alpha; 0 is off."},
    {"--cutmix", "mix.cutmix_alpha", "X", "Cutmix's alpha; 0 is off."},
    {"--mixup-prob", "mix.prob_to_apply", "X", "Share of batches that are mixed."},
    {"--mixup-switch-prob", "mix.switch_prob", "X", "Share of cutmix where both are on."},
    {"--smoothing", "mix.smoothing", "X", "Label smoothing."},
    {"--sampler", "data.sampler", "shuffle|balanced",
     "Every image once per epoch, or every class as often."},
    {"--patience", "patience", "N",
     "End the run after so many evaluations without a better top-1; 0 is never."},
    {"--min-delta", "min_delta", "X", "What counts as better for --patience, in per cent."},
    {"--seed", "seed", "N",
     "Seed of the weights, the order of the data, transforms, drop-path and the split."},
    {"--log-interval", "log_loss_every_steps", "N", "Steps between training lines in log.jsonl."},
    {"--checkpoint-hist", "checkpoint_hist", "N",
     "How many of the newest checkpoints stay, beside the best."},
};

constexpr Switch kSwitches[] = {
    {"--amp", "amp", "bf16", "Products and convolutions in bf16; --amp-dtype says another type."},
    {"--grad-checkpointing", "grad_checkpointing", "true",
     "Compute encoder layers again in the backward: less memory, a third more time."},
    {"--sync-bn", "sync_bn", "true",
     "Batch norm takes its statistics over all processes instead of each by itself."},
    {"--model-ema", "model_ema", "true",
     "Evaluate and keep a running average of the weights instead of themselves."},
    {"--model-ema-warmup", "model_ema_warmup", "true",
     "Begin the average with a smaller decay, as timm."},
};

// ---- signals ----

volatile std::sig_atomic_t stop_signal = 0;

extern "C" void on_stop_signal(int signal) {
  // Asked twice at the keyboard: now. Schedulers repeat themselves and mean the same.
  if (stop_signal != 0 && signal == SIGINT) _exit(128 + signal);
  if (stop_signal == 0) stop_signal = signal;
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  // SIGUSR1: what clusters send some time before a job's limit ends it.
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
  // A file size limit is then an error of the write, which names the file.
  std::signal(SIGXFSZ, SIG_IGN);
}

// ---- the verb ----

int stopped_by(int signal, const std::string& what) {
  log_info(what);
  return 128 + signal;
}

// Processors that are this process's own: a launcher that binds has shared them out already.
int processors_of(const Launch& launch) {
  return train::processors_per_process(launch.bound ? 1 : launch.local_size);
}

// The device is no part of the run: unsaid, it would go on on the CPU.
std::string resume_command(const std::string& workdir, const std::string& device) {
  return fmt::format("nestvit train --resume {}{}", workdir,
                     device == "cpu" ? "" : " --device " + device);
}

// On the CPU two keep small images coming, and more would take cores from the training itself.
int default_workers(const std::string& device, int processors) {
  return device == "cpu" ? std::min(processors, 2) : processors;
}

// "cuda" means each process's own one of a machine's GPUs.
std::string own_device(const std::string& device, const Launch& launch) {
  if (device != "cuda" || launch.size == 1) return device;
  return fmt::format("cuda:{}", launch.local_rank);
}

train::TrainOptions train_options(const TrainArguments& arguments, const Prepared& prepared,
                                  const Launch& launch) {
  train::TrainOptions options;
  options.workdir = prepared.workdir;
  options.resume = prepared.resumed;
  options.weights = prepared.weights ? &*prepared.weights : nullptr;
  const int processors = processors_of(launch);
  options.workers =
      arguments.workers > 0 ? arguments.workers : default_workers(arguments.device, processors);
  options.threads = arguments.threads > 0 ? arguments.threads : processors;
  options.device = own_device(arguments.device, launch);
  options.cuda_graph = arguments.cuda_graph;
  options.stop = [] { return static_cast<int>(stop_signal); };
  return options;
}

int run_in_group(const TrainArguments& arguments, const Invocation& invocation,
                 const Launch& launch, const train::Group& group) {
  const Prepared prepared = prepare(arguments, invocation, launch);
  announce(prepared);
  if (group.world_size() > 1)
    log_info(fmt::format("processes      {}, {} on this machine", group.world_size(),
                         launch.local_size));
  train::TrainOptions options = train_options(arguments, prepared, launch);
  options.group = &group;
  if (prepared.recipe.eval_only) {
    int signal = 0;
    train::explain_out_of_memory(
        [&] { signal = train::evaluate_only(prepared.recipe, *prepared.val, options); });
    return signal == 0 ? 0 : stopped_by(signal, "stopped: nothing was written");
  }
  train::TrainResult result;
  train::explain_out_of_memory(
      [&] { result = train::train(prepared.recipe, *prepared.train, *prepared.val, options); });
  const std::string workdir = options.workdir.string();
  if (result.signal != 0)
    return stopped_by(result.signal,
                      fmt::format("stopped after step {}; to go on: {}", human_count(result.step),
                                  resume_command(workdir, arguments.device)));
  if (result.best_top1)
    log_info(fmt::format("best top-1 {:.2f} %; the model: {}/best", *result.best_top1, workdir));
  return 0;
}

train::GroupOptions options_of_group(const TrainArguments& arguments) {
  train::GroupOptions options;
  options.timeout = std::chrono::seconds(arguments.dist_timeout);
  options.heartbeat_timeout = std::min(options.heartbeat_timeout, options.timeout);
  options.backend = train::backend_named(arguments.dist_backend);
  return options;
}

int run_training(const TrainArguments& arguments, const Invocation& invocation) {
  const Launch launch = read_launch();
  const train::GroupOptions group_options = options_of_group(arguments);
  catch_signals();
  if (arguments.nproc > 1 && launch.size > 1)
    throw UsageError(
        fmt::format("--nproc {} inside a job of {} processes", arguments.nproc, launch.size),
        "the launcher has started the processes: leave --nproc out");
  if (arguments.nproc > 1) return cli::launch(arguments.nproc, invocation, stop_signal);
  train::Group group(launch, group_options);
  if (!group.is_root()) log_nothing();
  try {
    const int code = run_in_group(arguments, invocation, launch, group);
    group.finish();
    return code;
  } catch (const UsageError& error) {
    if (!group.report_failure(error.what())) return 2;
    throw;
  } catch (const std::exception& error) {
    if (!group.report_failure(error.what())) return 1;
    throw;
  }
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
  add_text(
      app, "--recipe", &a.recipe, "paper|timm",
      "How to train, before --config and flags go over it: augmentation, mixing, decay and "
      "averaging as the paper's code or as timm's users do. docs/training.md has the numbers.");
  for (const Switch& flag : kSwitches) {
    const std::string help = fmt::format("{} Key {}.", flag.help, flag.key);
    a.switches.emplace_back(app.add_flag(flag.name, help), &flag);
  }
  add_flag(app, "--linear-probe", &a.linear_probe, "Train the head alone: --freeze backbone.");
  add_flag(app, "--use-ema", &a.use_ema,
           "Take the averaged (EMA) weights of an --initial-checkpoint that has them.");
  app.add_option("--lr", a.lr, "Peak learning rate for the batch as it is, not scaled.")
      ->type_name("X");
  app.add_option("--min-lr", a.min_lr, "Floor of the learning rate after warm-up, not scaled.")
      ->type_name("X");
  app.add_option("--warmup-lr", a.warmup_lr, "Where warm-up begins, not scaled.")->type_name("X");
  add_number(
      app, "-j,--workers", &a.workers, 0,
      "Threads that read and transform images; 0: one or two, beside a GPU one per processor.");
  add_number(app, "--threads", &a.threads, 0,
             "Threads that compute; 0: as many as there are processors.");
  add_number(
      app, "--nproc,--nproc-per-node", &a.nproc, 0,
      "Train in N processes on this machine, each with a share of its processors and batches "
      "of its own. For several machines: torchrun, srun or mpirun (scripts/launch).");
  add_number(app, "--dist-timeout", &a.dist_timeout, 1,
             "Seconds that the processes wait for one that does not come, before the job ends.");
  app.add_option("--local_rank,--local-rank", "Read for compatibility: LOCAL_RANK counts.")
      ->type_name("N")
      ->expected(1);
  add_text(app, "--dist-backend", &a.dist_backend, "auto|nccl|gloo",
           "What carries gradients between GPUs: NCCL from GPU to GPU, or Gloo by way of the CPU. "
           "auto is NCCL where all processes can. One that is named is used by a single process, "
           "too.");
  add_flag(app, "--cuda-graph", &a.cuda_graph,
           "Record forward and backward as a CUDA graph, and replay it for every whole batch.");
  add_text(app, "--device", &a.device, "cpu|cuda|cuda:I",
           "Where the network computes. A GPU needs libtorch's CUDA library: see NESTVIT_TORCH_LIB "
           "in docs/training.md.");
}

constexpr const char* kDetails =
    "Any key of the recipe can be set as --config.KEY=VALUE, nested ones with dots and lists in "
    "brackets: "
    "--config.nest.num_layers_per_block=[1,1,2]. They win over flags, flags over the file. "
    "docs/training.md documents "
    "every key.\n\n"
    "The run's folder gets config.yaml (the whole recipe), summary.csv, log.jsonl, "
    "checkpoints/step-N, and the links "
    "last and best. Each of those is a model directory for eval, predict and timm. Ctrl-C, "
    "SIGUSR1 and SIGTERM save a checkpoint and exit with 130, 138 and 143; a second Ctrl-C exits "
    "at once.";

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
    "# from ImageNet weights to your own classes; then only the head, which is faster\n"
    "nestvit train photos --initial-checkpoint hf://timm/nest_tiny_jx.goog_in1k --workdir out\n"
    "nestvit train photos --initial-checkpoint nest_tiny --linear-probe --workdir out\n"
    "# the official code's evaluation of a checkpoint\n"
    "nestvit train --config configs/imagenet_nest.yaml --config.eval_only=True "
    "--config.init_checkpoint=nest-b_imagenet/ckpt.39 --data-dir imagenet --workdir out\n"
    "# as timm trains: its augmentation, averaged weights\n"
    "nestvit train photos --recipe timm --workdir out\n"
    "# four processes on this machine, a quarter of its processors each\n"
    "nestvit train photos --nproc 4 --workdir out\n"
    "# larger images, smaller steps\n"
    "nestvit train photos --img-size 128 --epochs 60 -b 64 --lr 5e-4";

}  // namespace

std::vector<std::string> plain_overrides(std::vector<std::string> arguments) {
  Recipe recipe;
  const Fields fields = nestvit::fields(recipe);
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

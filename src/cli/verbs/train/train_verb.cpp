// Help, flags and the page of keys.
#include "cli/verbs/train/train_verb.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/verbs/train/help_keys.h"

namespace nestvit::cli {
namespace {

constexpr const char* kDetails =
    "Any key of the recipe can be set as --config.KEY=VALUE, nested ones with dots and lists in "
    "brackets: --config.nest.num_layers_per_block=[1,1,2]. Keys win over flags, flags over the "
    "file. --help-keys prints every key.\n"
    "The run's folder gets config.yaml (the whole recipe), summary.csv, log.jsonl, "
    "checkpoints/step-N, and the links last and best. Each of those is a model directory for "
    "eval, predict and timm.\n"
    "Relative paths count from the folder in which the command is started, in --config, too.\n"
    "Ctrl-C, SIGHUP, SIGUSR1 and SIGTERM save a checkpoint and exit with 130, 129, 138 and 143; a "
    "second Ctrl-C exits at once.";

constexpr const char* kExamples =
    R"(# a folder of images, one sub-folder per class
nestvit train photos --workdir out
# resume where it stopped
nestvit train --resume out
# the same command for the first start and for every later one
nestvit train photos --workdir out --resume auto
# the official CIFAR-10 recipe, shorter
nestvit train --config configs/cifar_nest.yaml --data-dir cifar-10-batches-bin --workdir out --epochs 30
# Fashion-MNIST (Debian: dataset-fashion-mnist), another width
nestvit train --config configs/fashion_mnist_nest.yaml --workdir out --config.nest.embedding_dim=96
# from ImageNet weights to your own classes; then only the head, which is faster
nestvit train photos --initial-checkpoint hf://timm/nest_tiny_jx.goog_in1k --workdir out
nestvit train photos --initial-checkpoint nest_tiny --linear-probe --workdir out
# the official code's evaluation of a checkpoint
nestvit train --config configs/imagenet_nest.yaml --config.eval_only=True --config.init_checkpoint=nest-b_imagenet/ckpt.39 --data-dir imagenet --workdir out
# as timm trains: its augmentation, averaged weights
nestvit train photos --recipe timm --workdir out
# four processes on this machine, a quarter of its processors each
nestvit train photos --nproc 4 --workdir out
# larger images, smaller steps
nestvit train photos --img-size 128 --epochs 60 -b 64 --lr 5e-4)";

}  // namespace

Verb train_verb(const RunTraining& run) {
  Verb verb;
  verb.name = "train";
  verb.summary = "Train a model on a folder of images or a known dataset.";
  verb.details = kDetails;
  verb.examples = kExamples;
  verb.overrides = true;
  verb.declare = [run](CLI::App& app, const Invocation& invocation) {
    const auto arguments = std::make_shared<TrainArguments>();
    declare_train_flags(app, *arguments);
    const CLI::Option* resume = app.get_option("--resume");
    return [run, arguments, resume, &invocation] {
      arguments->resume = resume->count() > 0;
      if (!arguments->help_keys) return run(*arguments, invocation);
      fmt::print("{}", recipe_keys_page());
      return 0;
    };
  };
  return verb;
}

}  // namespace nestvit::cli

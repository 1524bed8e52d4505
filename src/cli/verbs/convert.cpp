// nestvit convert: any weights into the form that another program reads.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <memory>

#include "base/log.h"
#include "cli/model/model_source.h"
#include "cli/program/options.h"
#include "cli/verbs/verbs.h"
#include "model/params.h"
#include "weights/export.h"

namespace nestvit::cli {
namespace {

struct ConvertOptions {
  ModelSource in;
  std::string out, to = "nestvit";
  bool overwrite = false;
};

int convert(const ConvertOptions& options, const Invocation& invocation) {
  const ExportFormat format = export_format(options.to);
  check_export_place(format, options.out, options.overwrite);
  const LoadedModel model = options.in.load(invocation);
  for (const std::string& loss : lost_in(format, model)) log_warning(loss);
  export_model(model, format, options.out, options.overwrite);
  fmt::print("{}: {}, {} classes, {} tensors, {} parameters\nwritten as {}: {}\n", options.in.name,
             model.config.variant, model.config.num_classes, model.tensors.size(),
             human_count(parameter_count(model.config)), options.to, options.out);
  return 0;
}

}  // namespace

Verb convert_verb() {
  Verb verb;
  verb.name = "convert";
  verb.summary = "Turn weights of any kind into the form that another program reads.";
  verb.details = R"(
IN is anything that --model of the other verbs takes. OUT is a folder for nestvit (config.json and
model.safetensors), timm (the same, checked: timm.create_model('local-dir:OUT', pretrained=True)
loads it) and flax (an official checkpoint folder, for init_checkpoint), and a file for pth
(torch.load) and safetensors. Tensors keep every bit. A warning names each difference of the other
program; a model that it cannot run at all is an error.
)";
  verb.examples = R"(
nestvit convert nest-t_imagenet/ckpt.39 nest-t
nestvit convert hf://timm/nest_tiny_jx.goog_in1k nest-t --to nestvit
# averaged weights of a timm training run, for the official code
nestvit convert model_best.pth.tar checkpoint --use-ema --to flax
# one file for PyTorch
nestvit convert out/best model.pth --to pth
)";
  verb.overrides = true;
  verb.declare = [](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<ConvertOptions>();
    add_text(app, "IN", &options->in.name, "MODEL", "The model to read.", Need::kRequired);
    add_text(app, "OUT", &options->out, "FILE", "The folder or file to write.", Need::kRequired);
    add_choice(app, "--to", &options->to, export_format_names(), "The form to write.");
    add_source_options(app, &options->in);
    add_flag(app, "--overwrite", &options->overwrite, "Replace OUT when it is there already.");
    return [options, &invocation] { return convert(*options, invocation); };
  };
  return verb;
}

}  // namespace nestvit::cli

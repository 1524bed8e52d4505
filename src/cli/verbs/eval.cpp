// nestvit eval: accuracy and loss of a model on a dataset.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <memory>

#include "base/log.h"
#include "cli/model/match_classes.h"
#include "cli/model/model_source.h"
#include "cli/model/open_data.h"
#include "cli/model/pass.h"
#include "cli/program/options.h"
#include "cli/verbs/verbs.h"
#include "metrics/metrics.h"
#include "model/params.h"
#include "report/eval_report.h"
#include "report/picture.h"
#include "report/results.h"

namespace nestvit::cli {
namespace {

struct EvalOptions {
  ModelSource model;
  std::string engine, results_file, report;
  DataOptions data;
  RunOptions run;
};

// The fields of timm's validate, then ours.
Value::Members result_row(const EvalOptions& options, const LoadedModel& model,
                          const Metrics& metrics, const PassResult& pass) {
  Preprocessing preprocessing = model.preprocessing;
  const Fields described = fields(preprocessing);
  return {{"model", options.model.name},
          {"top1", rounded(metrics.top1(), 4)},
          {"top1_err", rounded(100 - metrics.top1(), 4)},
          {"top5", rounded(metrics.top5(), 4)},
          {"top5_err", rounded(100 - metrics.top5(), 4)},
          {"param_count", rounded(static_cast<double>(parameter_count(model.config)) / 1e6, 2)},
          {"img_size", preprocessing.image_size},
          {"crop_pct", preprocessing.crop_pct},
          {"interpolation", described.get("interpolation")},
          {"loss", rounded(metrics.loss(), 6)},
          {"images", metrics.count()},
          {"images_per_second", rounded(static_cast<double>(pass.images) / pass.seconds, 2)}};
}

void print_summary(const EvalOptions& options, const LoadedModel& model, const Dataset& dataset,
                   const std::string& part, const Metrics& metrics, const PassResult& pass) {
  fmt::print("model    {} ({}, {} parameters)\n", options.model.name, model.config.variant,
             human_count(parameter_count(model.config)));
  fmt::print("data     {} ({}, {}): {} images, {} classes\n", options.data.text(), dataset.kind(),
             part, human_count(metrics.count()), metrics.classes());
  fmt::print("top-1    {:.2f} %\ntop-5    {:.2f} %\nloss     {:.4f}\n", metrics.top1(),
             metrics.top5(), metrics.loss());
  fmt::print("speed    {:.1f} images/s ({:.1f} s)\n",
             static_cast<double>(pass.images) / pass.seconds, pass.seconds);
}

int evaluate(const EvalOptions& options, const MakeForward& make_forward,
             const Invocation& invocation) {
  if (!options.results_file.empty()) check_results_path(options.results_file);
  const LoadedModel model = options.model.load(invocation, Widening::kLater);
  const auto& [dataset, part] = open_data(options.data, model);
  const std::vector<int> match = match_classes(*dataset, model);
  const Forward forward = make_forward(model, options.run.forward());

  Metrics metrics(model.config.num_classes);
  const Pass pass{*dataset, options.data.order(*dataset), model,
                  forward,  options.run.loader(),         "eval"};
  const PassResult result = classify(pass, [&](const Batch& batch, std::span<const float> logits) {
    std::vector<int> labels;
    for (int label : batch.labels) labels.push_back(match.at(label));
    metrics.add(logits, labels);
  });

  for (const int k : result.lost_classes)
    log_warning(fmt::format("no image of class '{}' can be read", dataset->classes().at(k)));
  print_summary(options, model, *dataset, part, metrics, result);
  if (!options.results_file.empty())
    write_results(options.results_file, result_row(options, model, metrics, result));
  if (!options.report.empty()) {
    write_report(options.report, metrics, model.labels);
    log_info(fmt::format("wrote per_class.csv, confusion.csv, confusion.png and summary.json to {}",
                         options.report));
    if (metrics.classes() > kMaxMatrixClasses)
      log_info(fmt::format(
          "confusion.csv lists pairs of classes, and confusion.png shows the {} most confused: a "
          "whole matrix is made of up to {} classes",
          kPicturedClasses, human_count(kMaxMatrixClasses)));
  }
  return 0;
}

}  // namespace

Verb eval_verb(const ForwardEngine& engine) {
  Verb verb;
  verb.name = "eval";
  verb.summary = "Measure a model's accuracy on a dataset: top-1, top-5, loss, images per second.";
  verb.details = R"(
Images go through the preprocessing that is stored with the model. The dataset's classes are matched
with the model's by name, whatever their order; it may have fewer, as a part of ImageNet has.
)";
  verb.examples = R"(
# a folder of images, its val/ part or the share that training left out
nestvit eval --model out/best --data-dir photos
# with files for other programs and for people
nestvit eval --model out/best --data-dir cifar-10-batches-bin --dataset cifar10 \
  --results-file result.json --report report
)";
  verb.overrides = true;
  verb.declare = [engine](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<EvalOptions>();
    add_model_options(app, &options->model);
    add_data_options(app, &options->data, Need::kRequired);
    add_run_options(app, &options->run);
    add_output_file(
        app, "--results-file", &options->results_file,
        "Write the result as .json or .csv, with the fields of timm's validate (model, top1, "
        "top1_err, top5, top5_err, param_count in millions, img_size, crop_pct, "
        "interpolation), then loss, images and images_per_second.");
    add_output_folder(
        app, "--report", &options->report,
        fmt::format("Write per_class.csv (label, support, precision, recall, f1), "
                    "confusion.csv (rows are true classes), confusion.png and summary.json "
                    "there. Beyond {} classes confusion.csv has a line for each pair that "
                    "occurred (true, predicted, images), and confusion.png shows the {} most "
                    "confused classes.",
                    human_count(kMaxMatrixClasses), kPicturedClasses));
    add_engine_option(app, &options->engine, engine);
    return [options, engine, &invocation] {
      use_engine(options->engine, engine, invocation);
      return evaluate(*options, engine.make_forward, invocation);
    };
  };
  return verb;
}

}  // namespace nestvit::cli

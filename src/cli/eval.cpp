// nestvit eval: accuracy and loss of a model on a dataset.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <memory>
#include <set>

#include "base/log.h"
#include "classify.h"
#include "model/params.h"
#include "model_source.h"
#include "options.h"
#include "report/metrics.h"
#include "report/results.h"
#include "weights/labels.h"

namespace nestvit::cli {
namespace {

struct EvalOptions {
  ModelSource model;
  std::string engine, results_file, report;
  DataOptions data;
  RunOptions run;
};

using Names = std::vector<std::string>;

// Names that a file without names was given: they say nothing about what the classes are.
bool placeholders(const Names& names) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] != fmt::format("class {}", i) && names[i] != fmt::format("{}", i)) return false;
  return true;
}

std::string some_of(const Names& names) {
  const Names shown(names.begin(), names.begin() + std::min<ptrdiff_t>(std::ssize(names), 5));
  return fmt::format(
      "{}{}", fmt::join(shown, ", "),
      names.size() > shown.size() ? fmt::format(" and {} more", names.size() - shown.size()) : "");
}

std::string only_in(const std::string& what, const Names& names, const Names& others) {
  const std::set<std::string> known(others.begin(), others.end());
  Names missing;
  std::copy_if(names.begin(), names.end(), std::back_inserter(missing),
               [&](const std::string& name) { return !known.contains(name); });
  return missing.empty() ? "" : fmt::format("; only in {}: {}", what, some_of(missing));
}

// The model's class for each class of the dataset: by name, whatever the order. Throws Error when
// the classes differ.
std::vector<int> match_classes(const Dataset& dataset, const Model& model) {
  const Names& ours = dataset.classes();
  std::vector<int> match(ours.size());
  for (size_t i = 0; i < match.size(); ++i) match[i] = static_cast<int>(i);
  if (ours == model.labels) return match;
  if (ours.size() == model.labels.size() && (placeholders(ours) || placeholders(model.labels))) {
    log_warning(fmt::format("{} names no classes: they are matched with the {} by their order",
                            placeholders(ours) ? "the dataset" : "the model",
                            placeholders(ours) ? "model's" : "dataset's"));
    return match;
  }
  const auto by_name = classes_by_name(ours, model);
  if (!by_name)
    throw Error(
        fmt::format("the dataset has {} classes and {} has {}, and they differ{}{}", ours.size(),
                    model.origin, model.labels.size(), only_in("the dataset", ours, model.labels),
                    only_in("the model", model.labels, ours)),
        "evaluate on data with the model's classes, or name the dataset's classes with "
        "--class-map as the model does");
  log_info(
      ours.size() < model.labels.size()
          ? fmt::format("the dataset has {} of the model's {} classes: they are matched by name",
                        ours.size(), model.labels.size())
          : "the dataset orders its classes differently: they are matched by name");
  return *by_name;
}

// The fields of timm's validate, then ours.
Value::Members result_row(const EvalOptions& options, const Model& model, const Metrics& metrics,
                          const PassResult& pass) {
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

void print_summary(const EvalOptions& options, const Model& model, const Dataset& dataset,
                   const Metrics& metrics, const PassResult& pass) {
  fmt::print("model    {} ({}, {} parameters)\n", options.model.name, model.config.variant,
             human_count(parameter_count(model.config)));
  fmt::print("data     {} ({}, {}): {} images, {} classes\n", options.data.text(), dataset.kind(),
             options.data.split, human_count(metrics.count()), metrics.classes());
  fmt::print("top-1    {:.2f} %\ntop-5    {:.2f} %\nloss     {:.4f}\n", metrics.top1(),
             metrics.top5(), metrics.loss());
  fmt::print("speed    {:.1f} images/s ({:.1f} s)\n",
             static_cast<double>(pass.images) / pass.seconds, pass.seconds);
}

int evaluate(const EvalOptions& options, const MakeForward& make_forward,
             const Invocation& invocation) {
  if (!options.results_file.empty()) check_results_path(options.results_file);
  const Model model = options.model.load(invocation);
  const std::unique_ptr<Dataset> dataset = options.data.open();
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

  print_summary(options, model, *dataset, metrics, result);
  if (!options.results_file.empty())
    write_results(options.results_file, result_row(options, model, metrics, result));
  if (!options.report.empty()) {
    write_report(options.report, metrics, model.labels);
    log_info(fmt::format("wrote per_class.csv, confusion.csv, confusion.png and summary.json to {}",
                         options.report));
  }
  return 0;
}

}  // namespace

Verb eval_verb(const Backend& backend) {
  Verb verb;
  verb.name = "eval";
  verb.summary = "Measure a model's accuracy on a dataset: top-1, top-5, loss, images per second.";
  verb.details =
      "Images go through the preprocessing that is stored with the model. The dataset's classes "
      "are "
      "matched with the model's by name, whatever their order; it may have fewer, as a part of "
      "ImageNet has.";
  verb.examples =
      "# a folder of images, its val/ part or the share that training left out\n"
      "nestvit eval --model out/best --data-dir photos\n"
      "# with files for other programs and for people\n"
      "nestvit eval --model out/best --data-dir cifar-10-batches-bin --dataset cifar10 "
      "--results-file result.json --report report";
  verb.overrides = true;
  verb.declare = [backend](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<EvalOptions>();
    add_model_options(app, &options->model);
    add_data_options(app, &options->data, Need::kRequired);
    add_run_options(app, &options->run);
    add_text(app, "--results-file", &options->results_file, "FILE",
             "Write the result as .json or .csv, with the fields of timm's validate (model, top1, "
             "top1_err, top5, top5_err, param_count in millions, img_size, crop_pct, "
             "interpolation), then loss, images and images_per_second.");
    add_text(app, "--report", &options->report, "DIR",
             "Write per_class.csv (label, support, precision, recall, f1), confusion.csv (rows are "
             "true classes), confusion.png and summary.json there.");
    add_engine_option(app, &options->engine, backend);
    return [options, backend, &invocation] {
      use_engine(options->engine, backend, invocation);
      return evaluate(*options, backend.make_forward, invocation);
    };
  };
  return verb;
}

}  // namespace nestvit::cli

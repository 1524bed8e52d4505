// nestvit quantize: a model directory with smaller weights, and the accuracy that they cost.
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
#include "runtime/engine.h"
#include "runtime/precision.h"
#include "weights/export.h"
#include "weights/storage.h"

namespace nestvit::cli {
namespace {

struct QuantizeOptions {
  ModelSource model;
  std::string output, type = "int8";
  DataOptions data;
  RunOptions run;
  double max_drop = 1;
  bool overwrite = false;

  NumberType number_type() const { return *number_type_named(type); }
};

double megabytes(const TensorMap& tensors) {
  double bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += static_cast<double>(tensor.bytes().size());
  return bytes / 1e6;
}

// The type to compute in, or f32 where this machine cannot.
NumberType computable(NumberType wanted) {
  try {
    check_processor(wanted);
    return wanted;
  } catch (const UsageError& error) {
    log_warning(fmt::format("{}: measured with rounded weights, but in f32", error.what()));
    return NumberType::kF32;
  }
}

struct Comparison {
  Metrics before, after;
  int64_t same = 0;  // first answers
};

// Both models over the same batches.
Comparison compare(const QuantizeOptions& options, const LoadedModel& model,
                   const LoadedModel& rounded, NumberType precision) {
  const std::unique_ptr<Dataset> dataset = open_data(options.data, model).images;
  const std::vector<int> match = match_classes(*dataset, model);
  const int K = model.config.num_classes;
  const Engine before(model, {.threads = options.run.threads}),
      after(rounded, {.threads = options.run.threads, .precision = precision});
  std::vector<float> others;  // logits of `after` for the batch
  const Forward forward = [&](std::span<const float> input, int batch, bool) {
    others = after.run(input, batch).logits;
    return before.run(input, batch);
  };
  Comparison result{Metrics(K), Metrics(K)};
  const Pass pass{*dataset, options.data.order(*dataset), model,
                  forward,  options.run.loader(),         "quantize"};
  classify(pass, [&](const Batch& batch, std::span<const float> logits) {
    std::vector<int> labels;
    for (int label : batch.labels) labels.push_back(match.at(label));
    result.before.add(logits, labels);
    result.after.add(others, labels);
    for (size_t i = 0; i < labels.size(); ++i)
      result.same += top_indices(logits.subspan(i * K, K), 1) ==
                     top_indices(std::span(others).subspan(i * K, K), 1);
  });
  return result;
}

// Throws Error when the rounded model is worse by more than --max-drop.
void measure(const QuantizeOptions& options, const LoadedModel& model, const LoadedModel& rounded) {
  const NumberType precision = computable(options.number_type());
  const Comparison c = compare(options, model, rounded, precision);
  const double drop = c.before.top1() - c.after.top1();
  fmt::print("data       {}: {} images\n", options.data.text(), human_count(c.before.count()));
  fmt::print("top-1      {:.2f} % in f32, {:.2f} % with {} weights computed in {}: {:+.2f}\n",
             c.before.top1(), c.after.top1(), options.type, number_type_name(precision),
             c.after.top1() - c.before.top1());
  fmt::print("agreement  {:.2f} % of first answers\n",
             100 * static_cast<double>(c.same) / static_cast<double>(c.before.count()));
  if (drop > options.max_drop)
    throw Error(
        fmt::format("top-1 falls by {:.2f} points, more than --max-drop {}: nothing is written",
                    drop, options.max_drop),
        options.type == "int8" ? "--type bf16 keeps more" : "keep the model as it is");
}

void print_rounding(const Rounding& worst) {
  if (worst.name.empty())
    fmt::print("rounding   changes no weight\n");
  else
    fmt::print("rounding   changes {} most, by {:.2g} % of its norm\n", worst.name,
               100 * worst.relative);
}

int quantize(const QuantizeOptions& options, const Invocation& invocation) {
  check_place(options.output, options.overwrite);
  const LoadedModel model = options.model.load(invocation);
  const TensorMap small = stored(model.tensors, options.number_type());
  fmt::print("weights    {:.1f} MB in f32, {:.1f} MB in {}\n", megabytes(model.tensors),
             megabytes(small), options.type);
  LoadedModel rounded = model;
  rounded.tensors = as_f32(small, options.model.name);
  print_rounding(worst_rounding(model.tensors, rounded.tensors));
  if (options.data.named()) {
    measure(options, model, rounded);
  } else {
    log_warning("without --data-dir nothing is measured: check the model before you use it");
  }
  save_stored(options.output, model, small, options.number_type());
  fmt::print("written    {}\n", options.output);
  return 0;
}

}  // namespace

Verb quantize_verb() {
  Verb verb;
  verb.name = "quantize";
  verb.summary = "Write a model with 8-bit or bf16 weights, and measure the loss of accuracy.";
  verb.details = R"(
The weights of linear layers and convolutions, but for patch embedding and head, are rounded: to 8
bits with a scale for each output channel, or to bf16. Activations need no calibration: --dtype int8
finds a scale for every token as it goes. Every verb reads the result, and computes in any --dtype;
in the type of the weights it answers nearly as the original does in that type. With data, both are
measured first, and nothing is written when top-1 falls by more than --max-drop.
)";
  verb.examples = R"(
nestvit quantize --model out/best --output small --data-dir photos
nestvit predict --model small --dtype int8 cat.jpg
)";
  verb.overrides = true;
  verb.declare = [](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<QuantizeOptions>();
    add_model_options(app, &options->model);
    add_output_folder(app, "-o,--output", &options->output, "The model directory to write.",
                      Need::kRequired);
    add_choice(app, "--type", &options->type, number_type_names({NumberType::kF32}),
               "The number type of the weights.");
    add_real(app, "--max-drop", &options->max_drop, -1, 100,
             "How many points of top-1 may be lost.");
    add_flag(app, "--overwrite", &options->overwrite, "Replace the content of DIR.");
    add_data_options(app, &options->data, Need::kOptional);
    add_loading_options(app, &options->run);
    return [options, &invocation] { return quantize(*options, invocation); };
  };
  return verb;
}

}  // namespace nestvit::cli

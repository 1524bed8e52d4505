// nestvit predict: the classes of images.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/log.h"
#include "cli/model/class_names.h"
#include "cli/model/image_inputs.h"
#include "cli/model/model_source.h"
#include "cli/model/open_data.h"
#include "cli/model/pass.h"
#include "cli/program/answers.h"
#include "cli/program/options.h"
#include "cli/verbs/verbs.h"
#include "image/codecs/codec.h"
#include "image/codecs/picture_file.h"
#include "image/resize.h"
#include "image/transform.h"
#include "metrics/metrics.h"
#include "report/picture.h"
#include "report/results.h"

namespace nestvit::cli {
namespace {

constexpr size_t kSheetImages = 64;  // one screen or two; a longer sheet is not looked at
constexpr int kSheetEdge = 512;      // larger images are shrunk before they are kept

struct PredictOptions {
  ModelSource model;
  std::string format, output, sheet;
  int topk = 3;
  std::vector<std::string> inputs;
  DataOptions data;
  RunOptions run;
};

struct ImagePrediction {
  std::string name;
  std::vector<int> classes;  // best first
  std::vector<float> probabilities;
};

// Rows in the chosen format. What comes before the first row comes with it: without any answer
// there is no output.
class Printer {
 public:
  Printer(std::string format, const LoadedModel& model, size_t name_width)
      : format_(std::move(format)), model_(model) {
    for (int k = 0; k < std::ssize(model.labels); ++k)
      label_width_ = std::max(label_width_, spoken(model, k).size());
    label_width_ = std::clamp<size_t>(label_width_, 5, 40);
    name_width_ = std::clamp<size_t>(name_width, 4, 60);
  }

  void add(const ImagePrediction& prediction) {
    begin();
    if (format_ == "table") add_table(prediction);
    if (format_ == "csv") add_csv(prediction);
    if (format_ == "json") {
      text_ += first_ ? "\n  " : ",\n  ";
      add_json(prediction);
    }
    if (format_ == "jsonl") {
      add_json(prediction);
      text_ += '\n';
    }
    first_ = false;
  }

  void flush(Sink& sink) { sink.send(std::exchange(text_, "")); }

  void finish(Sink& sink) {
    begin();
    if (format_ == "json") text_ += "\n]\n";
    flush(sink);
    sink.commit();
  }

 private:
  void begin() {
    if (std::exchange(begun_, true)) return;
    if (format_ == "csv") text_ = csv_line({"filename", "index", "label", "prob"});
    if (format_ == "json") text_ = "[";
    if (format_ == "table")
      text_ = fmt::format("{:<{}}  {:<{}}  {}\n", "file", name_width_, "label", label_width_,
                          "probability");
  }

  void add_table(const ImagePrediction& prediction) {
    for (size_t i = 0; i < prediction.classes.size(); ++i)
      text_ += fmt::format("{:<{}}  {:<{}}  {:>9.2f} %\n", i == 0 ? prediction.name : "",
                           name_width_, spoken(model_, prediction.classes[i]), label_width_,
                           100 * prediction.probabilities[i]);
  }

  void add_csv(const ImagePrediction& prediction) {
    for (size_t i = 0; i < prediction.classes.size(); ++i)
      text_ += csv_line({prediction.name, fmt::format("{}", prediction.classes[i]),
                         model_.labels[prediction.classes[i]],
                         fmt::format("{:.6f}", prediction.probabilities[i])});
  }

  void add_json(const ImagePrediction& prediction) {
    Value::List answers;
    for (size_t i = 0; i < prediction.classes.size(); ++i)
      answers.push_back(Value::Members{{"index", prediction.classes[i]},
                                       {"label", model_.labels[prediction.classes[i]]},
                                       {"prob", rounded(prediction.probabilities[i], 6)}});
    text_ += to_json(Value::Members{{"filename", prediction.name}, {"predictions", answers}}, -1);
  }

  const std::string format_;
  const LoadedModel& model_;
  size_t name_width_ = 0, label_width_ = 0;
  std::string text_;
  bool begun_ = false, first_ = true;
};

Image sheet_image(const Sample& sample, const Preprocessing& preprocessing) {
  Image image = decoded(sample, preprocessing);
  const int longer = std::max(image.height, image.width);
  if (longer <= kSheetEdge) return image;
  const auto shrunk = [longer](int edge) {
    return std::max(1, static_cast<int>(int64_t{edge} * kSheetEdge / longer));
  };
  return resize_pil(image, shrunk(image.height), shrunk(image.width), Interpolation::kBilinear);
}

AnsweredImage sheet_card(const Dataset& dataset, int64_t index, const ImagePrediction& prediction,
                         const LoadedModel& model) {
  AnsweredImage card;
  card.image = sheet_image(dataset.get(index), model.preprocessing);
  card.title = std::filesystem::path(prediction.name).filename().string();
  const int label = dataset.label(index);
  if (label >= 0 && label < std::ssize(dataset.classes())) card.truth = dataset.classes()[label];
  for (size_t i = 0; i < prediction.classes.size(); ++i)
    card.answers.push_back({spoken(model, prediction.classes[i]), prediction.probabilities[i]});
  return card;
}

ImagePrediction predicted(const std::string& name, std::span<const float> logits, int topk) {
  const std::vector<float> probabilities = softmax(logits);
  ImagePrediction prediction{name, top_indices(logits, topk), {}};
  for (int index : prediction.classes) prediction.probabilities.push_back(probabilities[index]);
  return prediction;
}

// An image that cannot be read costs the others no answer. A single one ends with its own error.
LoaderOptions loader_of(const PredictOptions& options, size_t images) {
  LoaderOptions loader = options.run.loader();
  if (images > 1) loader.on_bad_image = OnBadImage::kSkip;
  return loader;
}

struct Images {
  const Dataset& dataset;
  std::vector<int64_t> order;
};

// Sends out the answers as they come; returns those of the sheet.
std::vector<AnsweredImage> answer(const PredictOptions& options, const Images& images,
                                  const LoadedModel& model, const Forward& forward,
                                  PassResult& result) {
  const auto& [dataset, order] = images;
  size_t name_width = 0;
  for (int64_t index : order) name_width = std::max(name_width, dataset.name(index).size());
  Printer printer(format_of(options.format, options.output, {"csv", "json", "jsonl"}), model,
                  name_width);
  Sink sink(options.output);
  std::vector<AnsweredImage> cards;
  const bool all_named = options.run.on_bad_image == "error";
  const Pass pass{dataset,
                  order,
                  model,
                  forward,
                  loader_of(options, order.size()),
                  shows_progress(options.output) ? "predict" : "",
                  all_named ? SIZE_MAX : kNamedBadImages};
  try {
    result = classify(pass, [&](const Batch& batch, std::span<const float> logits) {
      const size_t classes = model.config.num_classes;
      for (int i = 0; i < batch.size; ++i) {
        const int64_t index = batch.indices[i];
        const ImagePrediction prediction =
            predicted(dataset.name(index), logits.subspan(i * classes, classes), options.topk);
        printer.add(prediction);
        if (!options.sheet.empty() && cards.size() < kSheetImages)
          cards.push_back(sheet_card(dataset, index, prediction, model));
      }
      printer.flush(sink);
    });
    printer.finish(sink);
  } catch (...) {
    sink.say_unfinished();
    throw;
  }
  return cards;
}

int predict(const PredictOptions& options, const MakeForward& make_forward,
            const Invocation& invocation) {
  if (options.inputs.empty() != options.data.named())
    throw UsageError(
        options.inputs.empty() ? "no image to classify"
                               : "images and --data-dir exclude each other",
        "give files or folders, \"-\" for standard input, or --data-dir DIR, or --dataset NAME");
  if (!options.sheet.empty()) picture_format(options.sheet);
  const LoadedModel model = options.model.load(invocation, Widening::kLater);
  const bool from_dataset = options.data.named();
  const std::unique_ptr<Dataset> dataset = from_dataset ? open_data(options.data, model).images
                                                        : open_inputs(options.inputs, model.labels);
  const Images images{*dataset, options.data.order(*dataset)};
  const Forward forward = make_forward(model, options.run.forward());
  PassResult result;
  const std::vector<AnsweredImage> cards = answer(options, images, model, forward, result);
  if (!options.sheet.empty()) {
    write_answer_sheet(options.sheet, cards);
    log_info(
        fmt::format("wrote {}: {} of {} images", options.sheet, cards.size(), images.order.size()));
  }
  if (result.skipped > 0 && options.run.on_bad_image == "error")
    throw Error(fmt::format("{} of {} images could not be read: the others are answered",
                            result.skipped, images.order.size()),
                "with --on-bad-image skip that is no error");
  return 0;
}

}  // namespace

Verb predict_verb(const ForwardEngine& engine) {
  Verb verb;
  verb.name = "predict";
  verb.summary = "Classify images: files, folders, standard input or a dataset.";
  verb.details = R"(
Prints the best classes of every image with their probabilities, by name, batch by batch. Format csv
has the columns filename, index, label, prob, a row per answer, best first; format json is a list of
{"filename", "predictions": [{"index", "label", "prob"}]}, and jsonl has one of these on each line.

With --output FILE the answers so far are in FILE.partial, which takes the place of FILE at the end;
what is killed leaves both. Into a device or a pipe they are written as they come.

An image that cannot be read is named, the others are answered, and the exit code is 1.
)";
  verb.examples = R"(
nestvit predict --model out/best photo.jpg
# a folder, recursively, as CSV
nestvit predict --model out/best photos --output answers.csv
# a picture of the images with their answers
nestvit predict --model out/best photos --sheet answers.png
# from a pipe
curl -s https://example.org/cat.jpg | nestvit predict --model out/best -
# twelve images of a dataset
nestvit predict --model out/best --data-dir fashion --limit 12
)";
  verb.overrides = true;
  verb.declare = [engine](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<PredictOptions>();
    add_texts(app, "IMAGE", &options->inputs, "FILE",
              "Images (JPEG, PNG, WebP), folders, or - for one image on standard input. Folders "
              "are searched recursively for image files, in natural order.");
    add_model_options(app, &options->model);
    add_number(app, "--topk", &options->topk, 1, "Answers per image.");
    add_choice(app, "--format", &options->format, {"table", "json", "jsonl", "csv"},
               "Form of the answers. Left out: by the name of --output, else a table.");
    add_output_file(app, "--output", &options->output,
                    "Write the answers there instead of to standard output.");
    add_output_file(
        app, "--sheet", &options->sheet,
        fmt::format("Also draw a picture, .png or .jpg, with the first {} images and their "
                    "answers, at most {} each. The best answer is green when right and red when "
                    "wrong, where the true class is known: from the dataset, or from a folder "
                    "that is called like a class.",
                    kSheetImages, kMaxCardAnswers));
    add_run_options(app, &options->run);
    add_data_options(app, &options->data, Need::kOptional);
    return [options, engine, &invocation] {
      return predict(*options, engine.make_forward, invocation);
    };
  };
  return verb;
}

}  // namespace nestvit::cli

// nestvit predict: the classes of images.
#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "base/log.h"
#include "cli/model/image_inputs.h"
#include "cli/model/model_source.h"
#include "cli/model/open_data.h"
#include "cli/model/pass.h"
#include "cli/program/options.h"
#include "cli/verbs/verbs.h"
#include "image/codecs/codec.h"
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
  std::string format = "table", output, sheet;
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

// A class in words: "tench" for a model whose label is "n01440764".
const std::string& spoken(const LoadedModel& model, int index) {
  const std::string& label = model.labels[index];
  const auto description = model.descriptions.find(label);
  const bool synset = label.size() == 9 && label[0] == 'n' &&
                      label.find_first_not_of("0123456789", 1) == std::string::npos;
  return synset && description != model.descriptions.end() ? description->second : label;
}

// Rows in the chosen format, to stdout as they come or into the file at the end.
class Printer {
 public:
  Printer(const PredictOptions& options, const LoadedModel& model, size_t name_width)
      : options_(options), model_(model) {
    for (int k = 0; k < std::ssize(model.labels); ++k)
      label_width_ = std::max(label_width_, spoken(model, k).size());
    label_width_ = std::clamp<size_t>(label_width_, 5, 40);
    name_width_ = std::clamp<size_t>(name_width, 4, 60);
    if (options.format == "csv") text_ = csv_line({"filename", "index", "label", "prob"});
    if (options.format == "json") text_ = "[";
    if (options.format == "table")
      text_ = fmt::format("{:<{}}  {:<{}}  {}\n", "file", name_width_, "label", label_width_,
                          "probability");
  }

  void add(const ImagePrediction& prediction) {
    if (options_.format == "table") add_table(prediction);
    if (options_.format == "csv") add_csv(prediction);
    if (options_.format == "json") add_json(prediction);
    first_ = false;
  }

  void flush() {
    if (!options_.output.empty()) return;
    fmt::print("{}", text_);
    text_.clear();
  }

  void finish() {
    if (options_.format == "json") text_ += "\n]\n";
    flush();
    if (!options_.output.empty()) write_file(options_.output, text_);
  }

 private:
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
    text_ += first_ ? "\n  " : ",\n  ";
    text_ += to_json(Value::Members{{"filename", prediction.name}, {"predictions", answers}}, -1);
  }

  const PredictOptions& options_;
  const LoadedModel& model_;
  size_t name_width_ = 0, label_width_ = 0;
  std::string text_;
  bool first_ = true;
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

// Progress must not mingle with answers on the same terminal, nor fill a log.
bool shows_progress(const PredictOptions& options) {
  return stderr_is_terminal() && (!options.output.empty() || isatty(STDOUT_FILENO) == 0);
}

int predict(const PredictOptions& options, const MakeForward& make_forward,
            const Invocation& invocation) {
  if (options.inputs.empty() != options.data.named())
    throw UsageError(
        options.inputs.empty() ? "no image to classify"
                               : "images and --data-dir exclude each other",
        "give files or folders, \"-\" for standard input, or --data-dir DIR, or --dataset NAME");
  const LoadedModel model = options.model.load(invocation, Widening::kLater);
  const bool from_dataset = options.data.named();
  const std::unique_ptr<Dataset> dataset = from_dataset ? open_data(options.data, model).images
                                                        : open_inputs(options.inputs, model.labels);
  const std::vector<int64_t> order = options.data.order(*dataset);
  const Forward forward = make_forward(model, options.run.forward());

  size_t name_width = 0;
  for (int64_t index : order) name_width = std::max(name_width, dataset->name(index).size());
  Printer printer(options, model, name_width);
  std::vector<AnsweredImage> cards;
  const Pass pass{*dataset,
                  order,
                  model,
                  forward,
                  options.run.loader(),
                  shows_progress(options) ? "predict" : ""};
  classify(pass, [&](const Batch& batch, std::span<const float> logits) {
    const size_t classes = model.config.num_classes;
    for (int i = 0; i < batch.size; ++i) {
      const int64_t index = batch.indices[i];
      const ImagePrediction prediction =
          predicted(dataset->name(index), logits.subspan(i * classes, classes), options.topk);
      printer.add(prediction);
      if (!options.sheet.empty() && cards.size() < kSheetImages)
        cards.push_back(sheet_card(*dataset, index, prediction, model));
    }
    printer.flush();
  });
  printer.finish();
  if (!options.sheet.empty()) {
    write_answer_sheet(options.sheet, cards);
    log_info(fmt::format("wrote {}: {} of {} images", options.sheet, cards.size(), order.size()));
  }
  return 0;
}

}  // namespace

Verb predict_verb(const ForwardEngine& engine) {
  Verb verb;
  verb.name = "predict";
  verb.summary = "Classify images: files, folders, standard input or a dataset.";
  verb.details = R"(
Prints the best classes of every image with their probabilities, by name. Format csv has the columns
filename, index, label, prob, a row per answer, best first; format json is a list of
{"filename", "predictions": [{"index", "label", "prob"}]}.
)";
  verb.examples = R"(
nestvit predict --model out/best photo.jpg
# a folder, recursively, as CSV
nestvit predict --model out/best photos --format csv --output answers.csv
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
    add_choice(app, "--format", &options->format, {"table", "json", "csv"}, "Form of the answers.");
    add_text(app, "--output", &options->output, "FILE",
             "Write the answers there, at the end, instead of to standard output.");
    add_text(app, "--sheet", &options->sheet, "FILE",
             fmt::format("Also draw a PNG with the first {} images and their answers, at most {} "
                         "each. The best answer is green when right and red when wrong, where the "
                         "true class is known: from the dataset, or from a folder that is called "
                         "like a class.",
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

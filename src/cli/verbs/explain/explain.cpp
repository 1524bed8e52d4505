// nestvit explain: why a model answers as it does, image by image.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "base/log.h"
#include "cli/model/bad_images.h"
#include "cli/model/image_inputs.h"
#include "cli/model/open_data.h"
#include "cli/program/answers.h"
#include "cli/verbs/explain/file_names.h"
#include "cli/verbs/explain/options.h"
#include "cli/verbs/explain/printer.h"
#include "cli/verbs/verbs.h"
#include "explain/json.h"
#include "image/transform.h"
#include "report/explanation/card.h"
#include "report/markup.h"

namespace nestvit::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kSheetEdge = 512;    // larger images are shrunk before they are kept
constexpr double kLongWork = 100;  // forward passes from which on the work is announced
constexpr const char* kWarning =
    "with layer norm the scores of the top level are zero but for rounding at a level's output";

// Images that could be read, with their places in the order of all.
struct Readable {
  std::vector<Sample> samples;
  std::vector<size_t> places;
};

LoadedModel load_nest(const ModelSource& source, const Invocation& invocation) {
  LoadedNetwork network = source.load_network(invocation);
  if (!network.config.nest())
    throw Error(
        fmt::format("{} is a {}: explain is for a NesT", network.origin, network.config.variant()),
        "its trees follow the blocks of a NesT");
  return as_nest(std::move(network));
}

// Files NAME.CLASS.png and NAME.CLASS.json.
class Files {
 public:
  Files(const ExplainOptions& options, const Dataset& dataset, const std::vector<int64_t>& order,
        const std::vector<std::string>& labels)
      : folder_(options.out), maps_(options.maps), card_{options.smooth} {
    std::vector<std::string> paths;
    for (int64_t index : order) paths.push_back(dataset.name(index));
    names_ = image_names(paths);
    classes_ = class_file_names(labels);
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error)
      throw Error(fmt::format("{}: cannot make the folder: {}", options.out, error.message()));
  }

  // `at`: the image's place in the order of all.
  void write(size_t at, const ExplainedImage& explained) const {
    write_explanation_card(place(at, explained.explanations.front(), "png"), explained, card_);
    for (const ExplanationRecord& explanation : explained.explanations)
      write_file(place(at, explanation, "json"),
                 std::string_view(to_json(explanation, maps_) + "\n"));
  }

 private:
  fs::path place(size_t at, const ExplanationRecord& explanation, const char* extension) const {
    return folder_ /
           fmt::format("{}.{}.{}", names_.at(at), classes_.at(explanation.target.index), extension);
  }

  const fs::path folder_;
  bool maps_;
  CardOptions card_;
  std::vector<std::string> names_, classes_;
};

void scale_box(OriginalBox& box, double x, double y) {
  if (box) box = PixelBox{(*box)[0] * x, (*box)[1] * y, (*box)[2] * x, (*box)[3] * y};
}

// As if the image had been given with sides of at most kSheetEdge: sixty photos of a camera would
// fill the memory.
void shrink(ExplainedImage& explained) {
  Image image = nestvit::shrunk(explained.image, kSheetEdge);
  const double x = static_cast<double>(image.width) / explained.image.width;
  const double y = static_cast<double>(image.height) / explained.image.height;
  for (ExplanationRecord& explanation : explained.explanations) {
    explanation.width = image.width;
    explanation.height = image.height;
    scale_box(explanation.seen, x, y);
    OriginalBox extent = explanation.extent;
    scale_box(extent, x, y);
    explanation.extent = *extent;
    if (!explanation.tree) continue;
    for (TreeNode& node : explanation.tree->nodes) scale_box(node.box, x, y);
  }
  explained.image = std::move(image);
}

// The images of one command, batch by batch; of what was explained it keeps the sheet alone.
class Explaining {
 public:
  Explaining(const ExplainOptions& options, const Dataset& dataset, std::vector<int64_t> order,
             const LoadedModel& model, const Explainer& explainer, ExplainRequest request)
      : options_(options),
        dataset_(dataset),
        order_(std::move(order)),
        model_(model),
        explainer_(explainer),
        request_(std::move(request)),
        bad_(options.on_bad_image == "error" ? SIZE_MAX : kNamedBadImages) {
    if (!options.out.empty()) files_.emplace(options, dataset, order_, model.labels);
  }

  void run();
  // Throws Error where an image was left out and --on-bad-image does not allow it.
  void end() const;

 private:
  Readable read(size_t begin, size_t end);
  std::vector<std::vector<ExplanationRecord>> explained(Readable& images);
  bool drop_undecodable(Readable& images);
  // Whether `act`, which reads an image, throws no Error.
  template <class Act>
  bool can_read(const std::string& name, const Act& act);
  void answer(const Sample& sample, size_t at, std::vector<ExplanationRecord> explanations);

  const ExplainOptions& options_;
  const Dataset& dataset_;
  const std::vector<int64_t> order_;
  const LoadedModel& model_;
  const Explainer& explainer_;
  const ExplainRequest request_;
  std::optional<Files> files_;
  std::optional<ExplanationPrinter> printer_;
  std::vector<ExplainedImage> sheet_;
  BadImages bad_;
  std::string first_bad_;
};

// A single image ends with its own error; among others it costs them no answer.
template <class Act>
bool Explaining::can_read(const std::string& name, const Act& act) {
  try {
    act();
    return true;
  } catch (const Error& error) {
    if (order_.size() == 1) throw;
    if (bad_.count() == 0) first_bad_ = error.what();
    bad_.add(name, error.what());
    return false;
  }
}

Readable Explaining::read(size_t begin, size_t end) {
  Readable images;
  for (size_t at = begin; at < end; ++at)
    if (can_read(dataset_.name(order_[at]),
                 [&] { images.samples.push_back(dataset_.get(order_[at])); }))
      images.places.push_back(at);
  return images;
}

bool Explaining::drop_undecodable(Readable& images) {
  Readable kept;
  for (size_t i = 0; i < images.samples.size(); ++i) {
    Sample& sample = images.samples[i];
    if (!can_read(sample.name, [&] { decoded(sample, model_.preprocessing); })) continue;
    kept.samples.push_back(std::move(sample));
    kept.places.push_back(images.places[i]);
  }
  const bool dropped = kept.samples.size() < images.samples.size();
  images = std::move(kept);
  return dropped;
}

// Images are decoded a second time only where one of the batch cannot be.
std::vector<std::vector<ExplanationRecord>> Explaining::explained(Readable& images) {
  if (images.samples.empty()) return {};
  try {
    return explainer_.explain(images.samples, request_);
  } catch (const UsageError&) {
    throw;
  } catch (const Error&) {
    if (!drop_undecodable(images)) throw;
  }
  if (images.samples.empty()) return {};
  return explainer_.explain(images.samples, request_);
}

void Explaining::answer(const Sample& sample, size_t at,
                        std::vector<ExplanationRecord> explanations) {
  for (ExplanationRecord& explanation : explanations) explanation.file = dataset_.name(order_[at]);
  printer_->add(explanations);
  const bool on_sheet = !options_.sheet.empty() && sheet_.size() < kExplainedSheet;
  if (!files_ && !on_sheet) return;
  ExplainedImage image{decoded(sample, model_.preprocessing), std::move(explanations)};
  if (files_) files_->write(at, image);
  if (!on_sheet) return;
  shrink(image);
  sheet_.push_back(std::move(image));
}

void Explaining::run() {
  size_t name_width = 0;
  for (int64_t index : order_) name_width = std::max(name_width, dataset_.name(index).size());
  printer_.emplace(
      ExplanationPrinter::Form{format_of(options_), options_.maps, name_width, request_.against},
      model_);
  Sink sink(options_.output);
  std::optional<Progress> progress;
  if (shows_progress(options_.output))
    progress.emplace("explain", static_cast<int64_t>(order_.size()));
  const auto step = static_cast<size_t>(options_.batch_size);
  try {
    for (size_t begin = 0; begin < order_.size(); begin += step) {
      const size_t end = std::min(begin + step, order_.size());
      Readable images = read(begin, end);
      std::vector<std::vector<ExplanationRecord>> answers = explained(images);
      for (size_t i = 0; i < answers.size(); ++i)
        answer(images.samples[i], images.places[i], std::move(answers[i]));
      if (!answers.empty()) printer_->flush(sink);
      if (progress) progress->update(static_cast<int64_t>(end), "");
    }
    if (bad_.count() < order_.size()) printer_->finish(sink);
  } catch (...) {
    sink.say_unfinished();
    throw;
  }
  if (progress) progress->finish();
  bad_.end();
  if (sheet_.empty()) return;
  write_explanation_sheet(options_.sheet, sheet_, 4, CardOptions{options_.smooth});
  log_info(fmt::format("wrote {}: {} of {} images", options_.sheet, sheet_.size(), order_.size()));
}

void Explaining::end() const {
  if (bad_.count() == order_.size())
    throw Error(
        fmt::format("none of {} images could be read; the first: {}", order_.size(), first_bad_),
        "are these image files?");
  if (bad_.count() > 0 && options_.on_bad_image == "error")
    throw Error(fmt::format("{} of {} images could not be read: the others are explained",
                            bad_.count(), order_.size()),
                "with --on-bad-image skip that is no error");
}

// Before long work: how long it is.
void announce(const ExplainRequest& request, const LoadedModel& model, size_t images) {
  const int levels = static_cast<int>(geometry(model.config).size());
  const double passes = forward_passes(request, levels);
  const double all = passes * static_cast<double>(images);
  if (all < kLongWork) return;
  log_info(fmt::format("{} image{}, each as much work as {:.1f} forward passes: {} in all",
                       human_count(static_cast<int64_t>(images)), images == 1 ? "" : "s", passes,
                       human_count(static_cast<int64_t>(all))));
}

void warn(const ExplainRequest& request, const LoadedModel& model, const Explainer& explainer) {
  if (request.site == Site::kOutput && model.config.norm_type == Norm::kLayer)
    log_warning(kWarning);
  if (const std::string warning = explainer.warning(); !warning.empty()) log_warning(warning);
}

int explain(const ExplainOptions& options, const Invocation& invocation) {
  check(options);
  LoadedModel model = load_nest(options.model, invocation);
  const ModeInput input{model, options.data, options.threads, options.batch_size};
  if (options.modes.score) return run_explain_score(options.modes, input);
  if (options.modes.localise) return run_explain_localise(options.modes, input);
  const ExplainRequest request = request_of(options, model);
  const std::unique_ptr<Dataset> dataset = options.data.named()
                                               ? open_data(options.data, model).images
                                               : open_inputs(options.inputs, model.labels);
  std::vector<int64_t> order = options.data.order(*dataset);
  const Explainer explainer(model, options.threads);
  model.tensors.clear();  // the explainer has the weights in a form of its own
  warn(request, model, explainer);
  announce(request, model, order.size());
  Explaining explaining(options, *dataset, std::move(order), model, explainer, request);
  explaining.run();
  explaining.end();
  return 0;
}

constexpr const char* kDetails = R"(
Explains the most probable class of every image, or the classes named. A NesT cuts an image into
blocks and merges every 2 x 2 of them into one, level by level; method gradcat descends from the
whole image to one block of the finest level by scores that are shares of the class's logit. The
table says the path in words, the last block's place in pixels of the original image, and a margin
for each step, from 0 (a tie) to 1. A step marked "undecided" has nothing to go by but rounding. Of a heat map the table says the
strongest cell, what the map adds up to of what is explained, and its positive and negative parts.

A block stands where its tokens sit. They have seen beyond it: attention mixes a block, and the
convolutions between the levels cross its borders.

Formats: json is a list with an object for each image and class, csv has a row for each step of the
path. --out DIR writes a picture and the JSON of each image. Answers come batch by batch; with
--output FILE they are in FILE.partial until the end. An image that cannot be read is named, the
others are explained, and the exit code is 1.

docs/explain.md tells what the scores mean, what they do not mean, and how to read a picture.
)";

constexpr const char* kExamples = R"(
nestvit explain --model out/best photo.jpg --out why
# why cat, and not dog
nestvit explain --model out/best photo.jpg --class cat --against dog --out why
# a heat map instead of a path
nestvit explain --model out/best photo.jpg --method relevance --out why
# is the path right? mask the blocks and see
nestvit explain --model out/best photo.jpg --verify
# a folder on one sheet, and the paths as CSV
nestvit explain --model out/best photos --sheet why.png --output why.csv
# twelve images of a dataset
nestvit explain --model out/best --data-dir fashion --limit 12
)";

}  // namespace

Verb explain_verb() {
  Verb verb;
  verb.name = "explain";
  verb.summary = "Show where in an image a model finds a class: paths, heat maps, pictures.";
  verb.details = kDetails;
  verb.examples = kExamples;
  verb.overrides = true;
  verb.declare = [](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<ExplainOptions>();
    add_explain_options(app, options.get());
    return [options, &invocation] { return explain(*options, invocation); };
  };
  return verb;
}

}  // namespace nestvit::cli

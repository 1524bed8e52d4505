// Which option belongs to which method is checked before anything is loaded.
#include "cli/verbs/explain/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>

#include "cli/model/class_names.h"
#include "cli/program/answers.h"
#include "image/codecs/picture_file.h"

namespace nestvit::cli {
namespace {

bool is_one_of(const std::string& word, const std::vector<std::string>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// An option that only some methods have.
void check_method(const ExplainOptions& options, bool given, const std::string& option,
                  const std::vector<std::string>& methods) {
  if (!given || is_one_of(options.method, methods)) return;
  throw UsageError(fmt::format("{} does not go with --method {}", option, options.method),
                   fmt::format("it is an option of {}", fmt::join(methods, ", ")));
}

void check_paper(const ExplainOptions& options) {
  if (!options.paper) return;
  for (const auto& [name, value] :
       {std::pair("--site", options.site), std::pair("--propagation", options.propagation),
        std::pair("--sign", options.sign)})
    if (!value.empty())
      throw UsageError(fmt::format("--paper and {} exclude each other", name),
                       "--paper is short for --site output --propagation gradient --sign paper");
}

void check_target(const ExplainOptions& options) {
  if (!options.classes.empty() && options.topk > 0)
    throw UsageError("--class and --topk exclude each other", "--class may be given several times");
  if (!options.against.empty() && options.target != "logit")
    throw UsageError("--against and --target logprob exclude each other",
                     "a log-probability is the class against all others");
}

// "pixels" or a number.
std::optional<int> parsed_level(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text == "pixels") return kPixelLevel;
  int level = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, level);
  if (stopped != end || error != std::errc() || level < 1)
    throw UsageError(fmt::format("--level is \"{}\", expected pixels or a number from 1", text));
  return level;
}

std::optional<int> level_of(const ExplainOptions& options, int levels) {
  const std::optional<int> level = parsed_level(options.level);
  if (!level || *level == kPixelLevel || *level < levels) return level;
  throw UsageError(fmt::format("--level is {}, and the model has {} level{}", *level, levels,
                               levels == 1 ? "" : "s"),
                   levels == 1 ? "it has nothing but --method relevance --level pixels"
                               : fmt::format("give 1, the finest, to {}, or pixels", levels - 1));
}

ExplainMethod method_of(const std::string& name) {
  const std::vector<std::string>& names = explain_method_names();
  return static_cast<ExplainMethod>(std::find(names.begin(), names.end(), name) - names.begin());
}

int against_of(const ExplainOptions& options, const LoadedModel& model,
               const std::vector<int>& classes) {
  const int rival = class_named(model, options.against, "--against");
  if (std::find(classes.begin(), classes.end(), rival) != classes.end())
    throw UsageError(fmt::format("--class and --against are both {}", spoken(model, rival)));
  if (model.config.num_classes == 1)
    throw UsageError("--against: the model has one class, and nothing to compare it with");
  return rival;
}

void add_method_options(CLI::App& app, ExplainOptions* options) {
  add_choice(app, "--method", &options->method, explain_method_names(),
             "gradcat: a path from the whole image to one block. relevance: a signed heat map of "
             "small cells. cam: the last level's map, an exact split of the logit. layercam, "
             "gradcam: the usual maps. occlusion: the path found by masking blocks.");
  add_text(
      app, "--level", &options->level, "K",
      "The heat map of relevance, layercam and gradcam: 1 has the finest cells, larger numbers "
      "have coarser ones; pixels (relevance): one value per pixel of the input. Left out: 1.");
  add_choice(app, "--site", &options->site, {"input", "output"},
             "gradcat: the activations that are scored, at the input or at the output of a level. "
             "Left out: input.");
  add_choice(app, "--propagation", &options->propagation, {"conservative", "gradient"},
             "gradcat and relevance: scores that are shares of the logit, or values times plain "
             "gradients. Left out: conservative.");
  add_choice(app, "--sign", &options->sign, {"ascent", "paper"},
             "gradcat: paper turns every score's sign, as the paper prints it. Left out: ascent.");
  add_flag(app, "--paper", &options->paper,
           "gradcat to the letter of the paper: --site output --propagation gradient --sign paper. "
           "With layer norm its scores at the top are rounding noise.");
  add_flag(app, "--verify", &options->verify,
           "gradcat: also mask the four blocks at each step of the path, and say which one costs "
           "most.");
  add_flag(app, "--all", &options->all, "occlusion: mask every block, not only those of the path.");
  add_choice(app, "--fill", &options->fill, {"mean", "blur", "black"},
             "--verify and occlusion: what masked pixels become. Left out: mean, the mean colour.");
}

void add_output_options(CLI::App& app, ExplainOptions* options) {
  add_choice(app, "--format", &options->format, {"table", "json", "csv"},
             "Form of the answers. Left out: by the name of --output, else a table.");
  add_flag(app, "--maps", &options->maps, "JSON also holds the values of the heat maps.");
  add_output_file(app, "--output", &options->output,
                  "Write the answers there instead of to standard output.");
  add_output_folder(app, "--out", &options->out,
                    "Write a picture NAME.CLASS.png of each image there, named by the first class "
                    "explained, and NAME.CLASS.json of each class. Images of the same name get "
                    "their folders' names, too.");
  add_output_file(app, "--sheet", &options->sheet,
                  fmt::format("Also draw a picture, .png or .jpg, with the first {} images and "
                              "their explanations.",
                              kExplainedSheet));
  add_flag(app, "--smooth", &options->smooth,
           "Draw heat maps smoothly between the centres of their cells.");
}

}  // namespace

void add_explain_options(CLI::App& app, ExplainOptions* options) {
  add_texts(app, "IMAGE", &options->inputs, "FILE",
            "Images (JPEG, PNG, WebP), folders, or - for one image on standard input. Folders "
            "are searched recursively for image files, in natural order.");
  add_model_options(app, &options->model);
  app.add_option("--class", options->classes,
                 "A class to explain, by label, spoken name or index; may be given several times. "
                 "Left out: the most probable.")
      ->type_name("CLASS")
      ->allow_extra_args(false);
  add_number(app, "--topk", &options->topk, 1,
             "Explain that many classes of each image, the most probable ones. Left out: 1.");
  add_text(app, "--against", &options->against, "CLASS",
           "Explain the difference to this class: why the one and not the other.");
  add_choice(app, "--target", &options->target, {"logit", "logprob"},
             "What is explained: the logit of the class, or its log-probability, which also counts "
             "what speaks against the other classes.");
  add_method_options(app, options);
  add_output_options(app, options);
  add_number(app, "-b,--batch-size", &options->batch_size, 1,
             "Images explained at once; memory grows with it.");
  add_number(app, "--threads", &options->threads, 0,
             "Threads that compute; 0: as many as this process may use.");
  add_choice(app, "--on-bad-image", &options->on_bad_image, {"error", "skip"},
             "For an unreadable image: explain the others, then end with an error, or leave it out "
             "with a warning.");
  add_data_options(app, &options->data, Need::kOptional);
  add_explain_mode_options(app, &options->modes);
}

std::string format_of(const ExplainOptions& options) {
  return format_of(options.format, options.output, {"csv", "json"});
}

void check(const ExplainOptions& options) {
  check(options.modes, options.data);
  if (options.modes.any()) {
    if (options.inputs.empty()) return;
    throw UsageError(fmt::format("--{} is of a data set, not of \"{}\"",
                                 options.modes.score ? "score" : "localise", options.inputs[0]),
                     "name the data by --data-dir or --dataset");
  }
  if (options.inputs.empty() != options.data.named())
    throw UsageError(
        options.inputs.empty() ? "no image to explain" : "images and --data-dir exclude each other",
        "give files or folders, \"-\" for standard input, or --data-dir DIR, or --dataset NAME");
  check_paper(options);
  check_target(options);
  check_method(options, options.paper, "--paper", {"gradcat"});
  check_method(options, !options.site.empty(), "--site", {"gradcat"});
  check_method(options, !options.sign.empty(), "--sign", {"gradcat"});
  check_method(options, !options.propagation.empty(), "--propagation", {"gradcat", "relevance"});
  check_method(options, !options.level.empty(), "--level", {"relevance", "layercam", "gradcam"});
  if (parsed_level(options.level) == kPixelLevel)
    check_method(options, true, "--level pixels", {"relevance"});
  check_method(options, options.verify, "--verify", {"gradcat"});
  check_method(options, options.all, "--all", {"occlusion"});
  if (!options.fill.empty() && !options.verify && options.method != "occlusion")
    throw UsageError("--fill has nothing to mask",
                     "it is an option of --verify and of --method occlusion");
  const std::string format = format_of(options);
  if (format == "csv") check_method(options, true, "--format csv", {"gradcat", "occlusion"});
  if (options.maps && format != "json" && options.out.empty())
    throw UsageError("--maps is for JSON, and none is written", "add --format json or --out DIR");
  if (options.smooth && options.out.empty() && options.sheet.empty())
    throw UsageError("--smooth is for pictures, and none is drawn",
                     "add --out DIR or --sheet FILE");
  if (!options.sheet.empty()) picture_format(options.sheet);
}

ExplainRequest request_of(const ExplainOptions& options, const LoadedModel& model) {
  ExplainRequest request;
  for (const std::string& word : options.classes) {
    const int index = class_named(model, word, "--class");
    if (std::find(request.classes.begin(), request.classes.end(), index) == request.classes.end())
      request.classes.push_back(index);
  }
  request.topk = std::clamp(options.topk, 1, model.config.num_classes);
  if (!options.against.empty()) request.against = against_of(options, model, request.classes);
  if (options.target == "logprob") request.target = TargetKind::kLogProbability;
  request.method = method_of(options.method);
  request.level = level_of(options, static_cast<int>(geometry(model.config).size()));
  const bool output = options.paper || options.site == "output";
  if (output) request.site = Site::kOutput;
  if (options.paper || options.propagation == "gradient")
    request.propagation = Propagation::kGradient;
  if (options.paper || options.sign == "paper") request.sign = Sign::kPaper;
  request.verify = options.verify;
  request.occlude_all = options.all;
  if (options.fill == "blur") request.fill = Fill::kBlur;
  if (options.fill == "black") request.fill = Fill::kBlack;
  return request;
}

double forward_passes(const ExplainRequest& request, int levels) {
  const double classes =
      static_cast<double>(request.classes.empty() ? request.topk : std::ssize(request.classes));
  // Of the backward's multiply-accumulates, per class, and of what is computed again for it, once.
  constexpr double kBackward = 1.1, kAgain = 0.6;
  if (request.method == ExplainMethod::kCam) return 1;
  const double descent = 4.0 * (levels - 1);
  const double every = (std::pow(4.0, levels) - 4) / 3;  // 4 + 16 + ...
  if (request.method == ExplainMethod::kOcclusion)
    return 1 + classes * (request.occlude_all ? every : descent);
  return 1 + kAgain + classes * (kBackward + (request.verify ? descent : 0));
}

}  // namespace nestvit::cli

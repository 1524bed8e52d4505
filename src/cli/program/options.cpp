// Options that several verbs share, and help as text.
#include "cli/program/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <optional>

#include "base/system/place.h"
#include "base/system/processors.h"
#include "base/text.h"
#include "cli/program/exec.h"

namespace nestvit::cli {
namespace {

std::string without_outer_breaks(const std::string& text) {
  const size_t first = text.find_first_not_of('\n');
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of('\n') + 1 - first);
}

// Joins the lines of each paragraph; see Verb::details.
std::string paragraphs(const std::string& details) {
  std::string text = without_outer_breaks(details);
  for (size_t i = 1; i + 1 < text.size(); ++i)
    if (text[i] == '\n' && text[i - 1] != '\n' && text[i + 1] != '\n' && text[i + 1] != ' ')
      text[i] = ' ';
  return text;
}

// The default shown; an empty string or an "auto" 0 is explained by the help text itself.
void show_default(CLI::Option* option, const std::string& text) {
  if (!text.empty() && text != "0") option->default_str(text);
}

// A number above 0 and at most 1 that may be left open.
void add_share(CLI::App& app, const std::string& flag, std::optional<double>* value,
               const std::string& help) {
  const auto check = [](const std::string& text) -> std::string {
    double number = 0;
    if (!CLI::detail::lexical_cast(text, number))
      return fmt::format("\"{}\" is not a number", text);
    return number > 0 && number <= 1 ? "" : fmt::format("{} is not above 0 and at most 1", text);
  };
  app.add_option(flag, *value, help)->type_name("X")->check(CLI::Validator(check, ""));
}

std::string usage_line(const Program& program, const Verb& verb,
                       const std::vector<OptionText>& options) {
  std::string line = fmt::format("usage: {} {}", program.name, verb.name);
  for (const OptionText& option : options)
    if (!option.positional && option.required)
      line += fmt::format(" {} {}", option.names.back(), option.value);
  line += " [OPTION]...";
  for (const OptionText& option : options)
    if (option.positional) {
      const std::string name = option.names[0] + (option.repeated ? "..." : "");
      line += option.required ? " " + name : " [" + name + "]";
    }
  return line + "\n";
}

void add_output(CLI::App& app, const std::string& flags, std::string* value,
                const std::string& kind, const std::string& help, Need need,
                void (*check)(const std::filesystem::path&)) {
  const auto validate = [check](const std::string& place) -> std::string {
    if (place.empty()) return "\"\" names no place to write to";
    check(place);
    return "";
  };
  app.add_option(flags, *value, help)
      ->type_name(kind)
      ->required(need == Need::kRequired)
      ->check(CLI::Validator(validate, ""));
}

std::string option_help(const OptionText& option) {
  std::string head = "  ";
  for (size_t i = 0; i < option.names.size(); ++i) head += (i > 0 ? ", " : "") + option.names[i];
  if (!option.positional && !option.value.empty()) head += " " + option.value;
  std::string help = option.help;
  if (option.required && !option.positional) help += " (required)";
  if (!option.fallback.empty()) help += fmt::format(" [default: {}]", option.fallback);
  return fmt::format("{}\n      {}\n", head, wrapped(help, kColumns, 6));
}

}  // namespace

void add_choice(CLI::App& app, const std::string& flags, std::string* value,
                const std::vector<std::string>& names, const std::string& help, Need need) {
  const auto check = [names](const std::string& text) -> std::string {
    if (std::find(names.begin(), names.end(), text) != names.end()) return "";
    return fmt::format("\"{}\" is none of: {}", text, fmt::join(names, ", "));
  };
  CLI::Option* option = app.add_option(flags, *value, help)
                            ->type_name(fmt::format("{}", fmt::join(names, "|")))
                            ->check(CLI::Validator(check, ""))
                            ->required(need == Need::kRequired);
  show_default(option, *value);
}

void add_number(CLI::App& app, const std::string& flags, int* value, int least,
                const std::string& help) {
  const auto check = [least](const std::string& text) -> std::string {
    int64_t number = 0;
    if (!CLI::detail::lexical_cast(text, number))
      return fmt::format("\"{}\" is not a whole number", text);
    if (number < least) return fmt::format("{} is too small: at least {}", number, least);
    if (number <= std::numeric_limits<int>::max()) return "";
    return fmt::format("{} is too large", number);
  };
  CLI::Option* option =
      app.add_option(flags, *value, help)->type_name("N")->check(CLI::Validator(check, ""));
  show_default(option, fmt::format("{}", *value));
}

void add_seed(CLI::App& app, const std::string& flags, int64_t* value, const std::string& help) {
  show_default(app.add_option(flags, *value, help)->type_name("N"), fmt::format("{}", *value));
}

void add_real(CLI::App& app, const std::string& flags, double* value, double low, double high,
              const std::string& help) {
  const auto check = [low, high](const std::string& text) -> std::string {
    double number = 0;
    if (!CLI::detail::lexical_cast(text, number))
      return fmt::format("\"{}\" is not a number", text);
    if (number > low && number < high) return "";
    return fmt::format("{} is not between {} and {}", text, low, high);
  };
  CLI::Option* option =
      app.add_option(flags, *value, help)->type_name("X")->check(CLI::Validator(check, ""));
  show_default(option, fmt::format("{}", *value));
}

void add_text(CLI::App& app, const std::string& flags, std::string* value, const std::string& kind,
              const std::string& help, Need need) {
  CLI::Option* option =
      app.add_option(flags, *value, help)->type_name(kind)->required(need == Need::kRequired);
  show_default(option, *value);
}

void add_output_file(CLI::App& app, const std::string& flags, std::string* value,
                     const std::string& help, Need need) {
  add_output(app, flags, value, "FILE", help, need, check_file_place);
}

void add_output_folder(CLI::App& app, const std::string& flags, std::string* value,
                       const std::string& help, Need need) {
  add_output(app, flags, value, "DIR", help, need, check_folder_place);
}

void add_texts(CLI::App& app, const std::string& flags, std::vector<std::string>* values,
               const std::string& kind, const std::string& help, Need need) {
  app.add_option(flags, *values, help)->type_name(kind)->required(need == Need::kRequired);
}

void add_flag(CLI::App& app, const std::string& flags, bool* value, const std::string& help) {
  app.add_flag(flags, *value, help);
}

LoaderOptions RunOptions::loader() const {
  LoaderOptions options;
  options.batch_size = batch_size;
  options.workers = workers > 0 ? workers : std::min(thread_count(0), 8);
  options.on_bad_image = on_bad_image == "skip" ? OnBadImage::kSkip : OnBadImage::kError;
  return options;
}

std::vector<std::string> number_type_names(const std::vector<NumberType>& left_out) {
  std::vector<std::string> names;
  for (const NumberType type : kNumberTypes)
    if (std::find(left_out.begin(), left_out.end(), type) == left_out.end())
      names.emplace_back(number_type_name(type));
  return names;
}

void add_dtype_option(CLI::App& app, std::string* dtype) {
  std::vector<std::string> names = number_type_names();
  names.emplace_back("auto");
  add_choice(app, "--dtype", dtype, names,
             "The number type that products round their operands to. bf16 needs AVX512_BF16; int8 "
             "is fastest where the processor has AVX512_VNNI; both answer a little differently. "
             "auto: f32 or bf16, measured once on this processor.");
}

ForwardOptions forward_options(int threads, const std::string& dtype) {
  const bool fastest = dtype == "auto";
  return {threads, fastest ? NumberType::kF32 : number_type_named(dtype).value(), fastest};
}

void add_loading_options(CLI::App& app, RunOptions* options) {
  add_number(app, "-b,--batch-size", &options->batch_size, 1, "Images per forward pass.");
  add_number(app, "--threads", &options->threads, 0,
             "Threads of the forward pass; 0: as many as this process may use.");
  add_number(app, "-j,--workers", &options->workers, 0,
             "Threads that decode images; 0: as many as this process may use, at most 8.");
  add_choice(app, "--on-bad-image", &options->on_bad_image, {"error", "skip"},
             "For an unreadable image: end with an error that names it (predict answers the others "
             "first), "
             "or leave it out with a warning.");
}

void add_run_options(CLI::App& app, RunOptions* options) {
  add_dtype_option(app, &options->dtype);
  add_loading_options(app, options);
}

void add_data_options(CLI::App& app, DataOptions* options, Need data_dir) {
  // Not required by the parser: --dataset may name data that has a place of its own.
  add_text(app, "--data-dir", &options->data_dir, "DIR",
           std::string("Where the dataset lies. A folder of images has one folder per class, below "
                       "train/ and val/ or without either.") +
               (data_dir == Need::kRequired
                    ? " May be left out with --dataset tfds/NAME, imagenet2012 (both below "
                      "$TFDS_DATA_DIR or ~/tensorflow_datasets) or fashion-mnist."
                    : ""));
  add_text(app, "--dataset", &options->dataset, "NAME",
           fmt::format("The form of the data: {}. Recognised from the files when left out.",
                       dataset_names_text()));
  add_choice(app, "--split,--val-split", &options->request.split,
             {"val", "train", "validation", "valid", "eval", "test"},
             "The part of the dataset; left out: val. val, validation, valid and eval mean the "
             "same: the test images, where a dataset has no others. Of a dataset without parts: "
             "what the training of the model held out, where it was trained on this dataset; else, "
             "unless one of --split, --val-share and --seed is given, all images.");
  add_text(app, "--labels", &options->labels, "FILE",
           "Labels of validation images that lie in one folder: lines \"FILE SYNSET\" or \"FILE "
           "INDEX\", Kaggle's LOC_val_solution.csv, or a synset per line in the order of the "
           "images. Looked for beside them when left out.");
  add_text(app, "--class-map", &options->class_map, "FILE",
           "Class names, one per line; the line number, from 0, is the class's index. Lines "
           "\"n01440764 tench, Tinca tinca\" name the class folders and the classes.");
  add_choice(app, "--class-order", &options->class_order, {"natural", "plain"},
             "Order of classes named by folders: natural puts class2 before class10, plain sorts "
             "by bytes as torchvision does.");
  add_share(app, "--val-share", &options->request.val_share,
            "Share of each class that is \"val\" where a dataset has no parts; 1: all images. Left "
            "out: that of the model's training, where the model records it, else 0.2.");
  app.add_option(
         "--seed", options->request.seed,
         "Of that share, and of the images that --limit draws. Left out: likewise, else 42.")
      ->type_name("N");
  add_number(app, "--limit", &options->limit, 0,
             "Only that many images, drawn by the seed; 0: all.");
}

void add_engine_option(CLI::App& app, std::string* engine, const ForwardEngine& own) {
  *engine = own.name;
  add_choice(app, "--engine", engine, {"core", "torch"},
             "The forward: core is the torch-free runtime, torch is libtorch (in nestvit-train). "
             "Both give the same numbers.");
}

void use_engine(const std::string& engine, const ForwardEngine& own, const Invocation& invocation) {
  if (engine == own.name) return;
  exec_sibling(engine == "torch" ? "nestvit-train" : "nestvit", invocation.arguments);
}

DatasetOptions DataOptions::dataset_options() const {
  DatasetOptions options;
  options.root = data_dir;
  options.name = dataset;
  options.class_order = class_order == "plain" ? ClassOrder::kPlain : ClassOrder::kNatural;
  options.labels_file = labels;
  options.class_map = class_map;
  return options;
}

std::vector<int64_t> DataOptions::order(const Dataset& data) const {
  if (limit == 0 || limit >= data.size()) return in_order(data.size());
  const auto seed =
      static_cast<uint64_t>(request.seed.value_or(static_cast<int64_t>(DatasetOptions{}.seed)));
  std::vector<int64_t> drawn = shuffled(data.size(), seed, 0);
  drawn.resize(limit);
  std::sort(drawn.begin(), drawn.end());
  return drawn;
}

std::vector<std::string> OptionText::choices() const {
  if (value.find('|') == std::string::npos) return {};
  return CLI::detail::split(value, '|');
}

std::vector<OptionText> describe(const CLI::App& app) {
  std::vector<OptionText> options;
  for (const CLI::Option* option : app.get_options()) {
    OptionText text;
    text.positional = !option->nonpositional();
    if (text.positional) text.names.push_back(option->get_name(true));
    for (const std::string& name : option->get_snames()) text.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) text.names.push_back("--" + name);
    if (option->get_items_expected_max() > 0) text.value = option->get_type_name();
    text.help = option->get_description();
    text.fallback = option->get_default_str();
    text.required = option->get_required();
    text.repeated = option->get_expected_max() > 1;
    options.push_back(std::move(text));
  }
  return options;
}

std::string verb_help(const Program& program, const Verb& verb,
                      const std::vector<OptionText>& options) {
  std::string text =
      usage_line(program, verb, options) + "\n" + wrapped(verb.summary, kColumns, 0) + "\n";
  if (!verb.details.empty()) text += "\n" + wrapped(paragraphs(verb.details), kColumns, 0) + "\n";
  const auto section = [&](const std::string& title, bool positional) {
    std::string body;
    for (const OptionText& option : options)
      if (option.positional == positional) body += option_help(option);
    if (!body.empty()) text += "\n" + title + ":\n" + body;
  };
  section("arguments", true);
  section("options", false);
  text += "  -h, --help\n      Print this text.\n";
  if (!verb.examples.empty())
    text += "\nexamples:\n  " + wrapped(without_outer_breaks(verb.examples), kColumns, 2) + "\n";
  return text;
}

std::string program_help(const Program& program) {
  std::string text = fmt::format("usage: {} VERB [OPTION]...\n\n{}\n\nverbs:\n", program.name,
                                 wrapped(program.summary, kColumns, 0));
  for (const Verb& verb : program.verbs)
    text += fmt::format("  {:<12}{}\n", verb.name, wrapped(verb.summary, kColumns, 14));
  text += fmt::format(R"(
"{0} VERB --help" explains a verb, with examples; "{0} --version" prints the version;
"{0} --help-environment" lists the environment variables.

Results go to standard output, messages and progress to standard error. Exit status: 0 when
all went well, 1 when something failed, 2 when the command line or a configuration is wrong.
)",
                      program.name);
  return text;
}

}  // namespace nestvit::cli

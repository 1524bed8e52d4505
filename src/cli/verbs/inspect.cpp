// nestvit inspect: describes a model, without running it.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/log.h"
#include "cli/model/model_source.h"
#include "cli/program/options.h"
#include "cli/verbs/verbs.h"
#include "model/architecture.h"
#include "report/results.h"

namespace nestvit::cli {
namespace {

struct InspectOptions {
  ModelSource model;
  int num_classes = 0, image_size = 0, channels = 0;
  bool json = false;
};

struct Description {
  Architecture config;
  std::optional<LoadedNetwork> stored;  // a model directory, with labels and preprocessing
};

template <class Config>
Config resized(Config config, const InspectOptions& options) {
  if (options.num_classes > 0) config.num_classes = options.num_classes;
  if (options.image_size > 0) config.image_size = options.image_size;
  if (options.channels > 0) config.in_channels = options.channels;
  return config;
}

Description describe_model(const InspectOptions& options, const Invocation& invocation) {
  Description description;
  const std::string& name = options.model.name;
  if (options.model.is_place()) {
    description.stored = options.model.describe(invocation);
    description.config = description.stored->config;
  } else {
    description.config = architecture(name);
  }
  if (const ResNetConfig* baseline = description.config.resnet()) {
    if (!invocation.overrides.empty())
      throw UsageError(fmt::format("--config.{} is for a NesT, which {} is not",
                                   invocation.overrides.front().first, baseline->variant));
    description.config = resized(*baseline, options);
    return description;
  }
  NestConfig config = resized(*description.config.nest(), options);
  Fields settable;
  settable.add("nest", fields(config));
  for (const auto& [key, value] : invocation.overrides) settable.set(key, value);
  description.config = config;
  return description;
}

Value value_of(const FieldValue& field) {
  return std::visit(
      [](const auto& v) -> Value {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, Choice>) {
          return v.get();
        } else if constexpr (requires { v->has_value(); }) {
          return *v ? Value(**v) : Value();
        } else if constexpr (requires { v->push_back({}); } && !std::is_same_v<T, std::string*>) {
          return Value::list(*v);
        } else {
          return *v;
        }
      },
      field);
}

Value::Members members_of(const Fields& fields) {
  Value::Members members;
  for (const Field& field : fields.list()) members.emplace_back(field.key, value_of(field.value));
  return members;
}

Value::List level_values(const NestConfig& config) {
  const std::vector<Level> levels = geometry(config);
  const auto parts = parameters_by_part(config);
  Value::List list;
  for (const Level& level : levels)
    list.push_back(Value::Members{{"level", level.index},
                                  {"blocks", level.blocks},
                                  {"tokens", level.tokens},
                                  {"width", level.width},
                                  {"heads", level.heads},
                                  {"head_dim", level.head_dim},
                                  {"layers", level.depth},
                                  {"map", level.map()},
                                  {"parameters", parts[level.index + 1]}});
  return list;
}

Value::List stage_values(const ResNetConfig& config) {
  const auto parts = parameters_by_part(config);
  Value::List list;
  for (const ResNetStage& stage : stages(config))
    list.push_back(Value::Members{{"stage", stage.index},
                                  {"blocks", stage.blocks},
                                  {"width", stage.out},
                                  {"map", stage.map},
                                  {"parameters", parts[stage.index + 1]}});
  return list;
}

void print_json(const Description& description, const std::string& name) {
  const Architecture& config = description.config;
  Value weights, trained_on, labels, preprocessing;
  if (description.stored) {
    if (const auto storage = description.stored->storage) weights = number_type_name(*storage);
    if (auto record = description.stored->trained_on) trained_on = members_of(fields(*record));
    Preprocessing stored = description.stored->preprocessing;
    labels = Value::list(description.stored->labels);
    preprocessing = members_of(fields(stored));
  }
  Value::Members members = {
      {"model", name},
      {"variant", config.variant()},
      {"input", Value::List{config.in_channels(), config.image_size(), config.image_size()}},
      {"num_classes", config.num_classes()},
      {"parameters", parameter_count(config)},
      {"multiply_accumulates", multiply_accumulates(config)}};
  if (const NestConfig* nest = config.nest()) {
    const auto parts = parameters_by_part(config);
    NestConfig copy = *nest;
    members.emplace_back("parameters_patch_embed", parts.front());
    members.emplace_back("parameters_head", parts.back());
    members.emplace_back("levels", level_values(*nest));
    members.emplace_back("config", members_of(fields(copy)));
  } else {
    members.emplace_back("stages", stage_values(*config.resnet()));
  }
  members.emplace_back("weights", weights);
  members.emplace_back("trained_on", trained_on);
  members.emplace_back("labels", labels);
  members.emplace_back("preprocessing", preprocessing);
  fmt::print("{}\n", to_json(std::move(members)));
}

void print_fields(const std::string& title, const Fields& fields) {
  fmt::print("\n{}\n", title);
  for (const Field& field : fields.list())
    fmt::print("  {:<22} {}\n", field.key, fields.get(field.key));
}

void print_labels(const std::vector<std::string>& labels) {
  constexpr size_t kShown = 20;
  fmt::print("\nlabels ({})\n", labels.size());
  for (size_t i = 0; i < std::min(labels.size(), kShown); ++i)
    fmt::print("  {:>4}  {}\n", i, labels[i]);
  if (labels.size() > kShown) fmt::print("  ... (--json lists all)\n");
}

void print_part(const char* part, int64_t parameters) {
  fmt::print("{:<12}{:>60}{:>15}\n", part, "", human_count(parameters));
}

void print_levels(const NestConfig& config) {
  const std::vector<Level> levels = geometry(config);
  const auto parts = parameters_by_part(config);
  fmt::print("\n{:<12}{:>8}{:>8}{:>8}{:>7}{:>10}{:>8}{:>11}{:>15}\n", "level", "blocks", "tokens",
             "width", "heads", "head dim", "layers", "map", "parameters");
  print_part("patch embed", parts.front());
  for (const Level& level : levels)
    fmt::print("{:<12}{:>8}{:>8}{:>8}{:>7}{:>10}{:>8}{:>11}{:>15}\n", level.index, level.blocks,
               level.tokens, level.width, level.heads, level.head_dim, level.depth,
               fmt::format("{} x {}", level.map(), level.map()),
               human_count(parts[level.index + 1]));
  print_part("norm, head", parts.back());
}

void print_stages(const ResNetConfig& config) {
  const auto parts = parameters_by_part(config);
  fmt::print("\n{:<12}{:>8}{:>8}{:>44}{:>15}\n", "stage", "blocks", "width", "map", "parameters");
  print_part("stem", parts.front());
  for (const ResNetStage& stage : stages(config))
    fmt::print("{:<12}{:>8}{:>8}{:>44}{:>15}\n", stage.index, stage.blocks, stage.out,
               fmt::format("{} x {}", stage.map, stage.map), human_count(parts[stage.index + 1]));
  print_part("head", parts.back());
}

std::string training_text(const TrainingRecord& record) {
  const std::string division = record.val_share
                                   ? fmt::format(": {:.4g} % of each class, drawn with seed {}",
                                                 100 * *record.val_share, record.seed)
                                   : "";
  return fmt::format("{} images, {} held out{}", human_count(record.train_images),
                     human_count(record.held_out_images), division);
}

void print_table(const Description& description, const std::string& name) {
  const Architecture& config = description.config;
  const int64_t parameters = parameter_count(config);  // throws before anything is printed
  const std::string model =
      name == config.variant() ? name : fmt::format("{} ({})", name, config.variant());
  fmt::print("model                 {}\n", model);
  fmt::print("input                 {} x {} x {}\n", config.in_channels(), config.image_size(),
             config.image_size());
  fmt::print("classes               {}\n", human_count(config.num_classes()));
  fmt::print("parameters            {}\n", human_count(parameters));
  if (description.stored && description.stored->storage)
    fmt::print("weights stored in     {}\n", number_type_name(*description.stored->storage));
  if (description.stored && description.stored->trained_on)
    fmt::print("trained on            {}\n", training_text(*description.stored->trained_on));
  fmt::print("multiply-accumulates  {} ({:.3g} G) per image\n",
             human_count(multiply_accumulates(config)),
             static_cast<double>(multiply_accumulates(config)) / 1e9);
  if (const NestConfig* nest = config.nest()) {
    print_levels(*nest);
    NestConfig copy = *nest;
    print_fields("configuration (override with --config.nest.KEY=VALUE)", fields(copy));
  } else {
    print_stages(*config.resnet());
  }
  if (!description.stored) return;
  Preprocessing stored = description.stored->preprocessing;
  print_fields("preprocessing", fields(stored));
  print_labels(description.stored->labels);
}

std::string config_keys_help() {
  NestConfig config;
  std::string text = "KEY of --config.nest.KEY=VALUE is one of:";
  const Fields settable = fields(config);
  for (const Field& field : settable.list())
    text += fmt::format("\n  {}: {}", field.key, field.help);
  return text;
}

}  // namespace

Verb inspect_verb() {
  Verb verb;
  verb.name = "inspect";
  verb.summary = "Describe a model: levels, parameters, multiply-accumulates, labels.";
  verb.details = fmt::format(R"(
MODEL is a model of any kind (of a model directory only config.json is read) or the name of a
variant: {}. The last three are the paper's convolutional baselines, which only train and its
eval_only run.

A level has T blocks of N tokens, C channels (width), H heads and D = C/H; its map is the side of
its whole plane in tokens. Parameters are counted as the papers do; multiply-accumulates cover
convolutions (borders counted in full), linear layers and attention products.

--json prints one object with the keys model, variant, input [C, S, S], num_classes, parameters,
multiply_accumulates, parameters_patch_embed, parameters_head, levels (level, blocks, tokens, width,
heads, head_dim, layers, map, parameters), config (the keys below), weights (int8 or bf16 where they
are stored so, else null), labels and preprocessing (both null for a variant). A baseline has stages
(stage, blocks, width, map, parameters) instead of levels, config and the parameters of parts.

{}
)",
                             fmt::join(architecture_names(), ", "), config_keys_help());
  verb.examples = R"(
nestvit inspect nest_tiny_s196_224 --num-classes 10
# the cost of a wider model
nestvit inspect nest_tiny_s196_224 --config.nest.embedding_dim=128 --config.nest.num_heads=4
nestvit inspect out/best --json
)";
  verb.overrides = true;
  verb.declare = [](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<InspectOptions>();
    add_text(app, "MODEL", &options->model.name, "MODEL",
             "Anything that --model of the other verbs takes, or the name of a variant.",
             Need::kRequired);
    add_source_options(app, &options->model);
    add_number(app, "--num-classes", &options->num_classes, 1,
               "Count with a head of that many classes instead of the model's own.");
    add_number(app, "--img-size,--image-size", &options->image_size, 1,
               "Side of the input in pixels instead of the model's own.");
    add_number(app, "--in-chans", &options->channels, 1,
               "Channels of the input instead of the model's own.");
    add_flag(app, "--json", &options->json, "Print one JSON object instead of tables.");
    return [options, &invocation] {
      Description description = describe_model(*options, invocation);
      if (options->json)
        print_json(description, options->model.name);
      else
        print_table(description, options->model.name);
      return 0;
    };
  };
  return verb;
}

}  // namespace nestvit::cli

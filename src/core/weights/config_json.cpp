// Reads timm's config.json (nested pretrained_cfg, or the legacy flat form) and ours, and writes
// ours. timm builds its model from "architecture", "model_args" and "pretrained_cfg"; we read
// "nestvit" when it is there, which says it all.
#include "weights/config_json.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/fields.h"
#include "base/json.h"
#include "weights/files/config_values.h"
#include "weights/labels/config_labels.h"

namespace nestvit {
namespace {

using namespace config_values;
using nlohmann::json;
using nlohmann::ordered_json;

// timm gives one number per level, or one for all.
std::optional<std::vector<int>> per_level(const json& object, const std::string& key,
                                          size_t levels) {
  const json* value = find(object, key);
  if (!value) return std::nullopt;
  if (!value->is_array()) return std::vector<int>(levels, whole(*value, key));
  std::vector<int> list;
  for (const json& entry : *value) list.push_back(whole(entry, key));
  if (list.size() != levels) wrong(key, *value, fmt::format("{} numbers, one per level", levels));
  return list;
}

// img_size may be S, [S, S] or, as input_size, [C, S, S].
int square_side(const json& value, const std::string& key) {
  if (!value.is_array()) return whole(value, key);
  const size_t n = value.size();
  if (n < 2 || n > 3 || value[n - 1] != value[n - 2]) wrong(key, value, "a square size");
  return whole(value[n - 1], key);
}

// "nest_tiny_jx.goog_in1k" and the old name "jx_nest_tiny" are nest_tiny_jx.
std::string variant_of(std::string architecture) {
  architecture = architecture.substr(0, architecture.find('.'));
  if (architecture.rfind("jx_", 0) == 0) architecture = architecture.substr(3) + "_jx";
  return architecture;
}

// Reads the keys that change the result of timm's NesT. Any other key is an error, as in timm: it
// may change the result, too.
void read_timm_options(const json& args, NestConfig& config) {
  static const std::vector<std::string> kKnown = {
      "img_size",  "in_chans",   "patch_size",     "num_levels", "embed_dims",  "num_heads",
      "depths",    "mlp_ratio",  "num_classes",    "qkv_bias",   "drop_rate",   "attn_drop_rate",
      "act_layer", "norm_layer", "drop_path_rate", "pad_type",   "weight_init", "global_pool"};
  if (!args.is_object()) wrong("model_args", args, "an object");
  for (const auto& [key, value] : args.items()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
      const std::string close = nearest(key, kKnown);
      throw Error(fmt::format("\"model_args\" has the unknown key \"{}\"", key.substr(0, 60)),
                  close.empty() ? "" : fmt::format("did you mean \"{}\"?", close));
    }
  }
  read(args, "mlp_ratio", config.mlp_ratio);
  read(args, "drop_rate", config.proj_drop);
  read(args, "attn_drop_rate", config.attn_drop);
  read(args, "drop_path_rate", config.stochastic_depth_drop);
  if (const json* bias = find(args, "qkv_bias")) {
    if (!bias->is_boolean()) wrong("qkv_bias", *bias, "true or false");
    config.qkv_bias = bias->get<bool>();
  }
  if (const json* padding = find(args, "pad_type")) {
    if (*padding != "" && *padding != "same") wrong("pad_type", *padding, "\"\" or \"same\"");
    config.pool_padding = *padding == "same" ? PoolPadding::kSame : PoolPadding::kSymmetric;
  }
  if (const json* act = find(args, "act_layer")) {
    if (*act != "gelu" && *act != "gelu_tanh") wrong("act_layer", *act, "gelu or gelu_tanh");
    config.gelu = *act == "gelu" ? Gelu::kErf : Gelu::kTanh;
  }
  if (const json* norm = find(args, "norm_layer"))
    if (*norm != "layernorm") wrong("norm_layer", *norm, "layernorm");
}

void read_timm_levels(const json& args, NestConfig& config) {
  const std::vector<Level> original = geometry(variant(config.variant));  // before img_size
  int count = static_cast<int>(original.size());
  read(args, "num_levels", count);
  if (count < 1 || count > 12) wrong("num_levels", count, "a number from 1 to 12");
  const auto levels = static_cast<size_t>(count);
  const auto widths = per_level(args, "embed_dims", levels);
  const auto heads = per_level(args, "num_heads", levels);
  if (const auto depths = per_level(args, "depths", levels)) config.num_layers_per_block = *depths;
  if (widths || heads) {
    config.embed_dims.clear();
    config.level_heads.clear();
    for (const Level& level : original) {
      config.embed_dims.push_back(level.width);
      config.level_heads.push_back(level.heads);
    }
    if (widths) config.embed_dims = *widths;
    if (heads) config.level_heads = *heads;
    config.embedding_dim = config.embed_dims[0];
    config.num_heads = config.level_heads[0];
    config.scale_hidden_dims.reset();
  }
  if (config.num_layers_per_block.size() != levels ||
      (config.embed_dims.empty() ? original.size() : config.embed_dims.size()) != levels ||
      (config.level_heads.empty() ? original.size() : config.level_heads.size()) != levels)
    wrong("num_levels", count, "as many entries in \"embed_dims\", \"num_heads\" and \"depths\"");
  read(args, "patch_size", config.init_patch_embed_size);
  // timm derives the edge of a block from the image; ours is given.
  const int64_t blocks = int64_t{config.init_patch_embed_size} << (levels - 1);
  if (blocks == 0 || config.image_size % blocks != 0)
    wrong("img_size", config.image_size,
          fmt::format("a multiple of {} (patch_size * 2^(num_levels - 1))", blocks));
  config.patch_size = static_cast<int>(config.image_size / blocks);
}

NestConfig timm_model(const json& root, const json& pretrained, bool& headless) {
  const json* architecture = find(root, "architecture");
  if (!architecture)
    throw Error("it has no \"architecture\"", "is this the config.json of a NesT?");
  const std::string name = variant_of(word(*architecture, "architecture"));
  if (is_resnet(name))
    throw Error(fmt::format("it describes timm's {}, which is another network than the paper's "
                            "baseline of that name: it pads symmetrically, and its stem has a ReLU",
                            name),
                "only baselines that nestvit trained can be read");
  NestConfig config = variant(name);
  static const json kNone = json::object();
  const json* given = find(root, "model_args");
  const json& args = given ? *given : kNone;
  if (const json* input = find(pretrained, "input_size")) {
    if (!input->is_array() || input->size() != 3) wrong("input_size", *input, "[channels, S, S]");
    config.in_channels = whole((*input)[0], "input_size");
    config.image_size = square_side(*input, "input_size");
  }
  if (const json* side = find(args, "img_size")) config.image_size = square_side(*side, "img_size");
  read(args, "in_chans", config.in_channels);
  if (const int named = classes_named(root, pretrained)) config.num_classes = named;
  read(root, "num_labels", config.num_classes);
  read(pretrained, "num_classes", config.num_classes);
  read(root, "num_classes", config.num_classes);  // wins over the nested one in timm
  read(args, "num_classes", config.num_classes);
  headless = config.num_classes == 0;
  if (headless) config.num_classes = 1;  // no network has none
  read_timm_options(args, config);
  for (const json* holder : {&root, &args})
    if (const json* pool = find(*holder, "global_pool"))
      if (*pool != "avg" && !headless) wrong("global_pool", *pool, "\"avg\"");
  read_timm_levels(args, config);
  return config;
}

// timm's evaluation transform: Pillow's resize on pixels that the accurate DCT decoded.
void read_timm_preprocessing(const json& pretrained, LoadedNetwork& model) {
  Preprocessing& p = model.preprocessing;
  p = preprocessing_mode("timm", model.config.image_size(), model.config.in_channels());
  Fields target = fields(p);
  for (const char* key : {"interpolation", "crop_mode"})
    if (const json* value = find(pretrained, key)) target.set(key, word(*value, key).substr(0, 40));
  read(pretrained, "crop_pct", p.crop_pct);
  read(pretrained, "mean", p.mean);
  read(pretrained, "std", p.std);
}

void read_fields(const json& object, const std::string& scope, Fields target) {
  if (!object.is_object()) wrong(scope, object, "an object");
  for (const auto& [key, value] : object.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (text.size() > 400) wrong(scope + "." + key, value, "a short value");
    target.set(key, text);
  }
}

template <class Config>
Config with_own_sizes(const json& own, Config config) {
  read(own, "image_size", config.image_size);
  read(own, "in_channels", config.in_channels);
  read(own, "num_classes", config.num_classes);
  return config;
}

Architecture own_model(const json& own) {
  if (!own.is_object()) wrong("nestvit", own, "an object");
  NestConfig config;
  if (const json* name = find(own, "variant")) {
    const std::string text = word(*name, "variant");
    if (is_resnet(text)) return with_own_sizes(own, resnet(text));
    const auto& known = variant_names();
    if (std::find(known.begin(), known.end(), text) != known.end()) config = variant(text);
    config.variant = text;
  }
  config = with_own_sizes(own, config);
  if (const json* nest = find(own, "nest")) read_fields(*nest, "nestvit.nest", fields(config));
  return config;
}

std::optional<NumberType> own_storage(const json& own) {
  const json* name = find(own, "weights");
  if (!name) return std::nullopt;
  // A file in f32 does not say so.
  for (const NumberType storage : kNumberTypes)
    if (storage != NumberType::kF32 && *name == number_type_name(storage)) return storage;
  wrong("nestvit.weights", *name, "\"bf16\" or \"int8\"");
}

void check_model(const LoadedNetwork& model) {
  check_sizes(model.config);
  const Preprocessing& p = model.preprocessing;
  const auto same = [](const char* what, int got, int expected, const char* of) {
    if (got != expected)
      throw Error(fmt::format("the preprocessing has {} {}, the model expects {} {}", what, got, of,
                              expected));
  };
  same("image_size", p.image_size, model.config.image_size(), "image_size");
  same("channels", p.channels, model.config.in_channels(), "channels");
  if (!(p.crop_pct > 0 && p.crop_pct <= 1))
    throw Error(fmt::format("crop_pct is {}, expected above 0 and at most 1", p.crop_pct));
  for (const auto* list : {&p.mean, &p.std})
    if (static_cast<int>(list->size()) != p.channels)
      throw Error(fmt::format("{} has {} entries for {} channels", list == &p.mean ? "mean" : "std",
                              list->size(), p.channels));
  for (double value : p.std)
    if (!(value > 0)) throw Error(fmt::format("std has {}, expected numbers above 0", value));
  if (!model.labels.empty() && static_cast<int>(model.labels.size()) != model.config.num_classes())
    throw Error(fmt::format("there are {} labels for {} classes", model.labels.size(),
                            model.config.num_classes()));
}

// Writing.

// Numbers, lists, true and null as themselves, words as strings.
ordered_json typed(const std::string& yaml) {
  ordered_json value = ordered_json::parse(yaml, nullptr, false);
  return value.is_discarded() ? ordered_json(yaml) : value;
}

ordered_json fields_json(const Fields& source, const std::vector<std::string>& keys) {
  ordered_json object = ordered_json::object();
  for (const std::string& key : keys) object[key] = typed(source.get(key));
  return object;
}

std::vector<std::vector<int>> level_numbers(const NestConfig& config) {
  std::vector<std::vector<int>> lists(3);  // embed_dims, num_heads, depths
  for (const Level& level : geometry(config)) {
    lists[0].push_back(level.width);
    lists[1].push_back(level.heads);
    lists[2].push_back(level.depth);
  }
  return lists;
}

bool timm_has(const NestConfig& config) {
  return config.attn_type == Attention::kMultiHead && config.norm_type == Norm::kLayer;
}

// timm's name of the same size, or of the size that the variant is named after.
std::string timm_family(const NestConfig& config) {
  std::string family = "nest_tiny";
  for (const char* size : {"tiny", "small", "base"})
    if (config.variant.find(size) != std::string::npos) family = std::string("nest_") + size;
  for (const char* name : {"nest_tiny", "nest_small", "nest_base"})
    if (level_numbers(variant(name)) == level_numbers(config)) family = name;
  return family;
}

ordered_json timm_args(const NestConfig& config, const std::string& family) {
  ordered_json args;
  args["img_size"] = config.image_size;
  args["patch_size"] = config.init_patch_embed_size;
  args["num_levels"] = config.num_layers_per_block.size();
  const auto levels = level_numbers(config);
  // timm's named models pass these themselves and refuse to be given them twice.
  if (levels != level_numbers(variant(family))) {
    args["embed_dims"] = levels[0];
    args["num_heads"] = levels[1];
    args["depths"] = levels[2];
  }
  args["in_chans"] = config.in_channels;
  args["num_classes"] = config.num_classes;
  args["mlp_ratio"] = config.mlp_ratio;
  args["qkv_bias"] = config.qkv_bias;
  args["attn_drop_rate"] = config.attn_drop;
  args["drop_path_rate"] = config.stochastic_depth_drop;
  return args;
}

// The content of config.json beside names and preprocessing.
struct TimmFacts {
  std::string architecture, stem, classifier;
  int features;   // width before the classifier
  int pool_size;  // side of the last map
  bool fixed_input_size;
  ordered_json model_args;  // null: none
};

TimmFacts timm_facts(const NestConfig& config) {
  TimmFacts facts{timm_architecture(config),
                  "patch_embed.proj",
                  "head",
                  level_numbers(config)[0].back(),
                  config.patch_size,
                  true,
                  nullptr};
  if (timm_has(config)) facts.model_args = timm_args(config, timm_family(config));
  return facts;
}

// The arguments name the changes that would make timm's ResNet this one. timm's has none of them,
// so that timm refuses the file instead of giving other answers.
TimmFacts timm_facts(const ResNetConfig& config) {
  const ResNetStage last = stages(config).back();
  TimmFacts facts{config.variant, "conv1", "fc", last.out, last.map, false, nullptr};
  facts.model_args = {{"in_chans", config.in_channels},
                      {"num_classes", config.num_classes},
                      {"pad_type", "same"},
                      {"stem_act", config.small_stem}};
  return facts;
}

TimmFacts timm_facts(const Architecture& config) {
  return config.nest() ? timm_facts(*config.nest()) : timm_facts(*config.resnet());
}

ordered_json pretrained_json(const TimmFacts& facts, const LoadedNetwork& model,
                             const Fields& words) {
  const int channels = model.config.in_channels(), side = model.config.image_size();
  const Preprocessing& p = model.preprocessing;
  ordered_json cfg;
  cfg["tag"] = "nestvit";
  cfg["custom_load"] = false;
  cfg["input_size"] = {channels, side, side};
  cfg["fixed_input_size"] = facts.fixed_input_size;
  cfg["interpolation"] = words.get("interpolation");
  cfg["crop_pct"] = p.crop_pct;
  cfg["crop_mode"] = words.get("crop_mode");
  cfg["mean"] = p.mean;
  cfg["std"] = p.std;
  cfg["num_classes"] = model.config.num_classes();
  cfg["pool_size"] = {facts.pool_size, facts.pool_size};
  // timm adapts the first convolution from 3 channels to the wanted number; ours has that number
  // already.
  if (channels == 3)
    cfg["first_conv"] = facts.stem;
  else
    cfg["first_conv"] = nullptr;
  cfg["classifier"] = facts.classifier;
  return cfg;
}

ordered_json own_json(const Architecture& config, const Fields& preprocessing) {
  ordered_json own;
  own["variant"] = config.variant();
  own["image_size"] = config.image_size();
  own["in_channels"] = config.in_channels();
  own["num_classes"] = config.num_classes();
  if (config.nest()) {
    NestConfig copy = *config.nest();
    const Fields nest = fields(copy);
    own["nest"] = fields_json(nest, nest.keys());
  }
  own["preprocessing"] = fields_json(preprocessing, preprocessing.keys());
  return own;
}

}  // namespace

LoadedModel parse_config(std::string_view text, const std::string& origin) {
  LoadedNetwork model = parse_network_config(text, origin);
  require_head(model);
  return as_nest(std::move(model));
}

LoadedNetwork parse_network_config(std::string_view text, const std::string& origin) {
  try {
    const json root = parse_json(text);
    if (!root.is_object()) throw Error("it is not a JSON object");
    const json* nested = find(root, "pretrained_cfg");
    const json& pretrained = nested ? *nested : root;
    LoadedNetwork model;
    model.origin = origin;
    const json* own = find(root, "nestvit");
    model.config = own ? own_model(*own) : timm_model(root, pretrained, model.headless);
    read_timm_preprocessing(pretrained, model);
    if (own) {
      model.storage = own_storage(*own);
      if (const json* record = find(*own, "trained_on"))
        read_fields(*record, "nestvit.trained_on", fields(model.trained_on.emplace()));
      if (const json* fields_given = find(*own, "preprocessing"))
        read_fields(*fields_given, "nestvit.preprocessing", fields(model.preprocessing));
    }
    check_model(model);
    if (!model.headless) read_labels(root, pretrained, model.config.num_classes(), model);
    return model;
  } catch (const Error& e) {
    throw Error(fmt::format("{}: {}", origin, e.what()), e.hint());
  }
}

std::string timm_architecture(const NestConfig& config) {
  if (!timm_has(config)) return config.variant;
  return timm_family(config) + (config.pool_padding == PoolPadding::kSame ? "_jx" : "");
}

bool timm_knows_sizes(const NestConfig& config) {
  return level_numbers(variant(timm_family(config))) == level_numbers(config);
}

std::string config_text(const LoadedNetwork& model, NumberType storage) {
  check_model(model);
  const TimmFacts facts = timm_facts(model.config);
  Preprocessing preprocessing = model.preprocessing;
  const Fields words = fields(preprocessing);
  ordered_json root;
  root["architecture"] = facts.architecture;
  root["num_classes"] = model.config.num_classes();
  root["num_features"] = facts.features;
  root["global_pool"] = "avg";
  if (!model.labels.empty()) root["label_names"] = model.labels;
  if (!model.descriptions.empty()) root["label_descriptions"] = model.descriptions;
  if (!facts.model_args.is_null()) root["model_args"] = facts.model_args;
  root["pretrained_cfg"] = pretrained_json(facts, model, words);
  root["nestvit"] = own_json(model.config, words);
  if (storage != NumberType::kF32) root["nestvit"]["weights"] = number_type_name(storage);
  if (model.trained_on) {
    TrainingRecord record = *model.trained_on;
    const Fields words_of_record = fields(record);
    root["nestvit"]["trained_on"] = fields_json(words_of_record, words_of_record.keys());
  }
  // A class may be named after a folder, whose name need not be UTF-8.
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace nestvit

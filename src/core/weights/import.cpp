// Tells files apart by their first bytes, reads each with its reader, and verifies the result.
#include "weights/import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <optional>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/system/pointer.h"
#include "base/system/processors.h"
#include "weights/config_json.h"
#include "weights/files/parts.h"
#include "weights/files/wrappers.h"
#include "weights/flax/checkpoint.h"
#include "weights/flax/names.h"
#include "weights/labels/imagenet.h"
#include "weights/labels/labels.h"
#include "weights/safetensors.h"
#include "weights/torch/reader.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhatCanBeNamed =
    "a model is a folder with config.json and model.safetensors, a .safetensors or .pth file, or "
    "an official checkpoint folder";
constexpr const char* kAveragedFile = "ema.safetensors";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// A file's tensors, and what the file says about them.
struct Found {
  TensorMap tensors;
  std::string config;   // config.json's text, where the file carries one
  std::string variant;  // "arch" of a checkpoint
  std::string place;    // keys and prefixes that led to the tensors
  std::string origin;
};

// Infinities and NaNs alone have all exponent bits set; 32-bit counts of short runs vectorise.
int64_t count_no_numbers(std::span<const float> values) {
  int64_t total = 0;
  constexpr size_t kRun = 1 << 14;
  for (size_t begin = 0; begin < values.size(); begin += kRun) {
    int32_t bad = 0;
    for (const float value : values.subspan(begin, std::min(kRun, values.size() - begin)))
      bad += (std::bit_cast<int32_t>(value) & 0x7f800000) == 0x7f800000;
    total += bad;
  }
  return total;
}

// Uses a few threads: most of the time goes into waiting for pages of the mapped file.
void check_finite(const TensorMap& tensors, const std::string& origin) {
  std::vector<const TensorMap::value_type*> list;
  for (const auto& entry : tensors) list.push_back(&entry);
  std::vector<int64_t> bad(list.size());
  std::atomic<size_t> next{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < std::min(available_processors(), 4); ++t)
      threads.emplace_back([&] {
        for (size_t i = next++; i < list.size(); i = next++)
          if (const Tensor& tensor = list[i]->second; !tensor.is_scaled())  // scales are checked
            bad[i] = count_no_numbers(widened(tensor).as<float>());
      });
  }
  for (size_t i = 0; i < list.size(); ++i)
    if (bad[i] > 0)
      throw Error(fmt::format("{}: tensor {} has {} values that are not finite numbers", origin,
                              list[i]->first, bad[i]),
                  "the training that made it diverged, or the file is damaged");
}

// ---- one reader per kind of file ----

enum class Kind { kSafetensors, kTorch, kFlax, kIndex };

// No header of safetensors begins with "{" and seven more characters: these bytes are its length.
bool looks_like_json(std::span<const std::byte> bytes) {
  const auto head = bytes.first(std::min<size_t>(bytes.size(), 8));
  return !head.empty() && head[0] == std::byte{'{'} && std::ranges::count(head, std::byte{0}) == 0;
}

Kind kind_of(const fs::path& path) {
  const auto mapped = MappedFile::open(path);
  const auto bytes = mapped->bytes();
  if (looks_like_torch(bytes)) return Kind::kTorch;
  if (looks_like_flax(bytes)) return Kind::kFlax;
  if (path.filename() == kConfigFile)
    throw Error(fmt::format("{} only describes a model", path.string()),
                fmt::format("name its folder: {}", path.parent_path().string()));
  if (looks_like_json(bytes)) return Kind::kIndex;
  if (bytes.size() > 9 && bytes[8] == std::byte{'{'}) return Kind::kSafetensors;
  throw Error(fmt::format("{} holds no weights that nestvit knows", path.string()),
              "known are safetensors, files of torch.save, and flax checkpoints; " +
                  std::string(kWhatCanBeNamed));
}

Found from_safetensors(const fs::path& path) {
  Found found;
  Metadata metadata;
  found.tensors = read_safetensors(path, &metadata);
  found.config = metadata[kConfigKey];
  return found;
}

Found from_torch(const fs::path& path, bool prefer_ema) {
  Found found;
  TorchCheckpoint checkpoint = read_torch(path, prefer_ema);
  const auto fact = [&](const char* key) {
    const auto entry = checkpoint.facts.find(key);
    return entry == checkpoint.facts.end() ? "" : entry->second;
  };
  found.tensors = std::move(checkpoint.tensors);
  found.config = fact(kConfigKey);
  found.variant = fact("arch").empty() ? fact("args.model") : fact("arch");
  found.place = checkpoint.wrapper;
  return found;
}

Found from_parts(const fs::path& index, bool prefer_ema) {
  Found found;
  found.tensors = read_parts(index, [&](const fs::path& path) {
    const Kind kind = kind_of(path);
    if (kind != Kind::kTorch && kind != Kind::kSafetensors)
      throw Error(fmt::format("{} is no part of weights", path.string()),
                  "parts are safetensors or files of torch.save");
    Found part = kind == Kind::kTorch ? from_torch(path, prefer_ema) : from_safetensors(path);
    if (!part.config.empty()) found.config = part.config;
    return std::move(part.tensors);
  });
  return found;
}

// The description in the file itself, else the one beside it.
std::optional<LoadedNetwork> description_of(const fs::path& path, const std::string& own) {
  if (!own.empty()) return parse_network_config(own, path.string());
  if (!is_file(path.parent_path() / kConfigFile)) return std::nullopt;
  return load_network_config(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

void say_which_weights(const Found& found, bool prefer_ema) {
  const bool averaged = says_averaged(found.place);
  if (prefer_ema && !averaged && fs::path(found.origin).filename() != kAveragedFile)
    log_warning(
        fmt::format("{} has no averaged (EMA) weights: taking the plain ones", found.origin));
  if (!prefer_ema && averaged)
    log_warning(fmt::format("{} has averaged (EMA) weights only: taking them", found.origin));
}

// The official evaluation; statistics by data set, as the official code chooses them (reference.md
// D.7).
Preprocessing official_preprocessing(const NestConfig& config, std::vector<std::string>& assumed) {
  Preprocessing p = preprocessing_mode("jax", config.image_size);
  if (config.image_size < 64) {
    const std::string dataset = config.num_classes == 100 ? "cifar100" : "cifar10";
    p.crop_pct = 1;
    set_normalisation(p, dataset);
    assumed.push_back("pixels are normalised with the statistics of " + dataset);
  }
  return p;
}

LoadedModel from_flax_file(const fs::path& path, const ImportOptions& options) {
  FlaxCheckpoint checkpoint = read_flax_checkpoint(path);
  Identified identified = identify(checkpoint.params, options.hints, path.string());
  LoadedModel model;
  model.config = identified.config;
  model.preprocessing = official_preprocessing(model.config, identified.assumed);
  for (TensorMap* arrays : {&checkpoint.params, &checkpoint.batch_stats})
    *arrays = as_f32(std::move(*arrays), path.string());
  model.tensors = from_flax(checkpoint.params, checkpoint.batch_stats, model.config, path.string(),
                            [&](const Tensor& array) { checkpoint.file->forget(array.bytes()); });
  if (!identified.assumed.empty())
    log_warning(fmt::format("{} does not describe everything; assumed: {}", path.string(),
                            fmt::join(identified.assumed, "; ")));
  return model;
}

// ---- putting it together ----

LoadedNetwork described(LoadedNetwork model, const Hints& hints) {
  if (hints.overrides.empty()) return model;
  LoadedModel nest = as_nest(std::move(model));
  Fields own = fields(nest.config);
  for (const auto& [key, value] : hints.overrides) own.set(key, value);
  return nest;
}

LoadedNetwork undescribed(const Found& found, Hints hints) {
  if (hints.variant.empty()) hints.variant = found.variant;
  Identified identified = identify(found.tensors, hints, found.origin);
  LoadedModel model;
  model.config = identified.config;
  model.preprocessing =
      preprocessing_mode("timm", model.config.image_size, model.config.in_channels);
  identified.assumed.push_back("images are prepared as timm does by default");
  log_warning(fmt::format("{} has no description; assumed: {}", found.origin,
                          fmt::join(identified.assumed, "; ")));
  return model;
}

LoadedNetwork from_file(const fs::path& path, const ImportOptions& options) {
  const Kind kind = kind_of(path);
  if (kind == Kind::kFlax) return from_flax_file(path, options);
  if (is_one_of_parts(path))
    throw Error(fmt::format("{} is one of several parts", path.string()),
                "name their folder, or the index (.index.json) beside it");
  Found found = kind == Kind::kTorch         ? from_torch(path, options.prefer_ema)
                : kind == Kind::kSafetensors ? from_safetensors(path)
                                             : from_parts(path, options.prefer_ema);
  found.origin = path.string();
  Unwrapped network = unwrap(std::move(found.tensors), options.prefer_ema, found.origin);
  found.tensors = std::move(network.tensors);
  found.place += "." + network.prefix;
  say_which_weights(found, options.prefer_ema);
  auto description = description_of(path, found.config);
  const bool baseline = description && description->config.resnet();
  if (!baseline && naming_of(found.tensors, found.origin) == Naming::kFlax)
    throw Error(fmt::format("{} holds the official code's arrays in a foreign file", path.string()),
                "give the checkpoint folder that they come from");
  const bool mapped = kind == Kind::kSafetensors;
  if (mapped && description && description->storage)
    check_storage(found.tensors, *description->storage, found.origin);
  found.tensors =
      widen(mapped ? options.widening : Widening::kToF32, std::move(found.tensors), found.origin);
  LoadedNetwork model = description ? described(std::move(*description), options.hints)
                                    : undescribed(found, options.hints);
  model.tensors = std::move(found.tensors);
  return model;
}

std::optional<fs::path> weights_of(const fs::path& folder, bool prefer_ema) {
  if (prefer_ema && is_file(folder / kAveragedFile)) return folder / kAveragedFile;
  for (const char* name : {kWeightsFile, "model.safetensors.index.json", "pytorch_model.bin",
                           "pytorch_model.bin.index.json"})
    if (is_file(folder / name)) return folder / name;
  return std::nullopt;
}

LoadedNetwork from_anywhere(const fs::path& path, const ImportOptions& options) {
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  const auto weights = folder ? weights_of(path, options.prefer_ema) : std::nullopt;
  const bool described = is_file(path / kConfigFile);
  if (const auto flax = described ? std::nullopt : find_flax_checkpoint(path))
    return from_file(*flax, options);
  if (weights) return from_file(*weights, options);
  if (folder) return load_network(path);  // throws, and knows where else to look
  if (fs::exists(path, ignored)) return from_file(path, options);
  throw Error(fmt::format("there is no model {}", path.string()), kWhatCanBeNamed);
}

Architecture of_one_class(const Architecture& config) {
  const auto changed = [](auto copy) {
    copy.num_classes = 1;
    return Architecture(std::move(copy));
  };
  return config.nest() ? changed(*config.nest()) : changed(*config.resnet());
}

// Marks a network without the classifier that its table has.
void find_head(LoadedNetwork& model) {
  const std::vector<Param> table = parameter_table(model.config);
  const bool of_this_kind = model.tensors.contains(table.front().name);
  model.headless |= of_this_kind && std::ranges::none_of(table, [&](const Param& param) {
                      return is_head(param.name) && model.tensors.contains(param.name);
                    });
  if (!model.headless) return;
  const size_t before = model.tensors.size();
  std::erase_if(model.tensors, [](const auto& named) { return is_head(named.first); });
  if (const size_t left_out = before - model.tensors.size(); left_out > 0)
    log_warning(fmt::format("{}: {} tensors of another kind of classifier are left out",
                            model.origin, left_out));
  model.config = of_one_class(model.config);
  model.labels.clear();
  model.descriptions.clear();
}

}  // namespace

LoadedNetwork import_network(const fs::path& path, const ImportOptions& options) {
  LoadedNetwork model = from_anywhere(pointed_at(path), options);
  model.origin = path.string();
  find_head(model);
  if (options.needs_head) require_head(model);
  verify_tensors(model.tensors, model.config, model.origin, options.widening, model.headless);
  check_finite(model.tensors, model.origin);
  if (model.headless) return model;
  if (model.labels.empty()) model.labels = numbered_labels(model.config.num_classes());
  name_imagenet_classes(model.labels, model.descriptions);
  return model;
}

LoadedModel import_model(const fs::path& path, const ImportOptions& options) {
  return as_nest(import_network(path, options));
}

LoadedNetwork import_network_config(const fs::path& path, const ImportOptions& options) {
  const fs::path folder = pointed_at(path);
  if (!is_file(folder / kConfigFile)) return import_network(path, options);
  LoadedNetwork model = load_network_config(folder);
  require_head(model);
  name_imagenet_classes(model.labels, model.descriptions);
  return model;
}

}  // namespace nestvit

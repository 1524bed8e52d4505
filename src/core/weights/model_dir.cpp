// Reads and writes both files of a model directory, checks tensors against the parameter table, and
// draws fresh weights.
#include "weights/model_dir.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <cmath>
#include <utility>

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/system/pointer.h"
#include "weights/config_json.h"
#include "weights/files/parts.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhatAModelIs =
    "a model is a directory with config.json and model.safetensors";
constexpr uint64_t kLargestConfig = 16 << 20;  // 22,000 classes with long descriptions need 3 MB

void check_directory(const fs::path& directory, const char* file) {
  std::error_code ignored;  // a path that cannot be looked at counts as absent
  if (!fs::exists(directory, ignored))
    throw Error(fmt::format("there is no model directory {}", directory.string()),
                "check the path");
  if (!fs::is_directory(directory, ignored))
    throw Error(fmt::format("{} is not a directory", directory.string()), kWhatAModelIs);
  if (fs::exists(directory / file, ignored)) return;
  std::string hint = kWhatAModelIs;
  for (const char* inner : {"last", "best"})
    if (fs::exists(pointed_at(directory / inner) / file, ignored))
      hint = fmt::format("it holds a model: give {}", (directory / inner).string());
  for (const auto& entry : fs::directory_iterator(directory, ignored))
    if (is_one_of_parts(entry.path()))
      throw Error(fmt::format("{} holds weights in parts, such as {}, without their index",
                              directory.string(), entry.path().filename().string()),
                  fmt::format("fetch {}.index.json, too", file));
  throw Error(fmt::format("{} holds no {}", directory.string(), file), hint);
}

// "2 missing (a, b)": the count and up to three examples.
class Findings {
 public:
  explicit Findings(std::string kind) : kind_(std::move(kind)) {}
  void add(const std::string& example) {
    if (++count_ <= 3) examples_ += (examples_.empty() ? "" : "; ") + example;
  }
  std::string text() const {
    return fmt::format("{} {} ({}{})", count_, kind_, examples_, count_ > 3 ? "; ..." : "");
  }
  bool empty() const { return count_ == 0; }

 private:
  std::string kind_, examples_;
  size_t count_ = 0;
};

// Where the description of the network comes from that the tensors of `origin` do not fit.
std::string hint_of_description(const std::string& origin) {
  std::error_code ignored;
  const fs::path place = pointed_at(origin);
  const fs::path folder = fs::is_directory(place, ignored) ? place : place.parent_path();
  return fs::exists(folder / kConfigFile, ignored)
             ? "config.json must describe the model that these weights belong to"
             : "no config.json describes these weights: --variant NAME and --config.nest.KEY=VALUE "
               "say what they are";
}

// Whether the tensor holds real numbers, but not in f32.
bool needs_widening(const Tensor& tensor) {
  const DType type = tensor.dtype();
  return type == DType::kF16 || type == DType::kBF16 || type == DType::kF64 || tensor.is_scaled();
}

// The factor of a standard normal that is truncated at 2; 0 for constant tensors.
float normal_scale(const Param& param) {
  if (param.init == Init::kTruncatedNormal) return 0.02f;
  if (param.init != Init::kLecunNormal) return 0;
  constexpr double kDeviation = 0.87962566103423978;  // of the truncated normal
  const int64_t fan_in = param.size() / param.shape[0];
  return static_cast<float>(std::sqrt(1 / static_cast<double>(fan_in)) / kDeviation);
}

}  // namespace

LoadedModel as_nest(LoadedNetwork any) {
  if (!any.config.nest())
    throw Error(fmt::format("{} is a {}, a baseline: only training and its evaluation run it",
                            any.origin, any.config.variant()),
                fmt::format("measure it with: nestvit train --config.eval_only=True "
                            "--config.init_checkpoint={} --data-dir DIR --workdir OUT",
                            any.origin));
  LoadedModel model;
  model.config = *any.config.nest();
  static_cast<ModelContent&>(model) = std::move(any);
  return model;
}

void require_head(const LoadedNetwork& model) {
  if (model.headless)
    throw Error(fmt::format("{} has no classifier (no head, or 0 classes): it can name no classes",
                            model.origin),
                fmt::format("train one on classes of yours: nestvit train DIR "
                            "--initial-checkpoint {}",
                            model.origin));
}

LoadedNetwork load_network_config(const fs::path& directory) {
  check_directory(directory, kConfigFile);
  const fs::path path = directory / kConfigFile;
  LoadedNetwork model = parse_network_config(read_text(path, kLargestConfig), path.string());
  model.origin = directory.string();
  return model;
}

LoadedModel load_model(const fs::path& directory) { return as_nest(load_network(directory)); }

LoadedNetwork load_network(const fs::path& directory) {
  LoadedNetwork model = load_network_config(directory);
  require_head(model);
  check_directory(directory, kWeightsFile);
  const fs::path path = directory / kWeightsFile;
  TensorMap tensors = read_safetensors(path);
  if (model.storage) check_storage(tensors, *model.storage, path.string());
  model.tensors = as_f32(std::move(tensors), path.string());
  verify_tensors(model.tensors, model.config, path.string());
  return model;
}

void save_model(const fs::path& directory, const LoadedNetwork& model, NumberType storage) {
  save_stored(directory, model, stored(model.tensors, storage), storage);
}

void save_stored(const fs::path& directory, const LoadedNetwork& model, const TensorMap& tensors,
                 NumberType storage) {
  verify_tensors(model.tensors, model.config, "the model to be saved");
  const std::string config = config_text(model, storage);
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw Error(fmt::format("cannot create {}: {}", directory.string(), error.message()));
  write_safetensors(directory / kWeightsFile, tensors);
  write_file(directory / kConfigFile, config);
}

void verify_tensors(const TensorMap& tensors, const Architecture& config, const std::string& origin,
                    Widening widening, bool headless) {
  Findings missing("missing"), unknown("unknown"), different("of another shape or type");
  size_t known = 0;
  TensorMap rest = tensors;
  for (const Param& param : parameter_table(config)) {
    if (headless && is_head(param.name)) continue;
    const auto found = rest.find(param.name);
    if (found == rest.end()) {
      missing.add(fmt::format("{} {}", param.name, shape_text(param.shape)));
      continue;
    }
    const Tensor& tensor = found->second;
    const bool right =
        tensor.dtype() == DType::kF32 || (widening == Widening::kLater && needs_widening(tensor));
    if (tensor.shape() != param.shape || !right)
      different.add(fmt::format("{} is {} {}, expected F32 {}", param.name,
                                dtype_name(tensor.dtype()), shape_text(tensor.shape()),
                                shape_text(param.shape)));
    rest.erase(found);
    ++known;
  }
  for (const auto& [name, tensor] : rest)
    unknown.add(fmt::format("{} {}", name, shape_text(tensor.shape())));
  std::string problems;
  for (const Findings* findings : {&missing, &unknown, &different})
    if (!findings->empty()) problems += (problems.empty() ? "" : ", ") + findings->text();
  if (problems.empty()) return;
  throw Error(
      fmt::format(
          "{} does not fit {} with {} classes at {} px: of its {} tensors, {} are expected; {}",
          origin, config.variant(), config.num_classes(), config.image_size(), tensors.size(),
          known, problems),
      hint_of_description(origin));
}

TensorMap as_f32(TensorMap tensors, const std::string& origin) {
  return widen(Widening::kToF32, std::move(tensors), origin);
}

Tensor widened(const Tensor& tensor) {
  return needs_widening(tensor) ? Tensor::f32(tensor.shape(), tensor.to_f32()) : tensor;
}

TensorMap widen(Widening widening, TensorMap tensors, const std::string& origin) {
  tensors = with_scales(std::move(tensors), origin);
  std::erase_if(tensors,
                [](const auto& entry) { return entry.first.ends_with(".num_batches_tracked"); });
  if (widening == Widening::kToF32)
    for (auto& [name, tensor] : tensors) {
      const Tensor narrow = std::exchange(tensor, widened(tensor));
      if (tensor.dtype() != narrow.dtype()) narrow.forget();
    }
  return tensors;
}

Tensor initial_tensor(const Param& param, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(param.size()),
                            param.init == Init::kOnes ? 1.f : 0.f);
  if (const float scale = normal_scale(param); scale > 0) {
    Rng rng(seed, Purpose::kInit, fnv1a(param.name));
    for (float& value : values) value = rng.truncated_normal() * scale;
  }
  return Tensor::f32(param.shape, std::move(values));
}

TensorMap initial_tensors(const Architecture& config, uint64_t seed) {
  TensorMap tensors;
  for (const Param& param : parameter_table(config))
    tensors.emplace(param.name, initial_tensor(param, seed));
  return tensors;
}

}  // namespace nestvit

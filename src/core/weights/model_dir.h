// The model directory: config.json (timm / Hugging Face format, with labels and preprocessing) +
// model.safetensors with timm's tensor names. Properties that timm's format cannot express stand
// under "nestvit" in config.json.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/preprocessing.h"
#include "model/training_record.h"
#include "weights/storage.h"
#include "weights/tensor.h"

namespace nestvit {

inline constexpr const char* kConfigFile = "config.json";
inline constexpr const char* kWeightsFile = "model.safetensors";
// The key under which files of tensors carry config.json's text: in safetensors metadata, and in a
// torch checkpoint.
inline constexpr const char* kConfigKey = "nestvit.config";

// The types of a model's tensors. kToF32: all are f32, which everything takes. kLater: real numbers
// of any type, as their file holds them, for the engine, which widens one tensor after the other.
enum class Widening { kToF32, kLater };

// A model directory beside the network's configuration.
struct ModelContent {
  Preprocessing preprocessing;
  std::vector<std::string> labels;  // one per class; "class 7" when the file names none
  std::map<std::string, std::string> descriptions;  // label -> longer text, may be empty
  TensorMap tensors;                  // exactly the parameter table's, f32, or as read for kLater
  std::optional<NumberType> storage;  // of the weights in the file, by config.json
  std::optional<TrainingRecord> trained_on;
  std::string origin;  // where it was read, for messages
  // Without a classifier, as weights from which training starts may be: no tensors of a head, no
  // labels, and a num_classes of 1, since no network has none.
  bool headless = false;
};

// A NesT: everything but training works with one.
struct LoadedModel : ModelContent {
  NestConfig config;
};

// A NesT or a ResNet baseline.
struct LoadedNetwork : ModelContent {
  LoadedNetwork() = default;
  LoadedNetwork(LoadedModel model)
      : ModelContent(std::move(model)), config(std::move(model.config)) {}
  Architecture config;
};

// Throws Error with the uses of a baseline as its hint.
LoadedModel as_nest(LoadedNetwork model);
// Throws Error, with fine-tuning as its hint, for a model without a classifier.
void require_head(const LoadedNetwork& model);

// Reads config.json and model.safetensors, timm's or our own, and checks every tensor against the
// parameter table. Throws Error: missing file, unknown architecture, missing, additional or
// misshapen tensor (named, got, expected), weights of another type than config.json says.
LoadedNetwork load_network(const std::filesystem::path& directory);
LoadedModel load_model(const std::filesystem::path& directory);  // throws as as_nest, too

// The description alone: config.json without the tensors (they stay empty).
LoadedNetwork load_network_config(const std::filesystem::path& directory);

// Writes config.json and model.safetensors into `directory` (made if missing), each atomically.
void save_model(const std::filesystem::path& directory, const LoadedNetwork& model,
                NumberType storage = NumberType::kF32);
// The same with `tensors`, which are stored(model.tensors, storage).
void save_stored(const std::filesystem::path& directory, const LoadedNetwork& model,
                 const TensorMap& tensors, NumberType storage);

// Throws Error unless `tensors` holds exactly parameter_table(config), in these types; `origin`
// names the file. `headless`: all but the head.
void verify_tensors(const TensorMap& tensors, const Architecture& config, const std::string& origin,
                    Widening widening = Widening::kToF32, bool headless = false);

// A file's tensors as a model's: 8-bit integers with their scales (storage.h); PyTorch's counts of
// batches, which nothing reads, left out; for kF32 half and double precision and 8-bit integers
// widened. Throws as with_scales().
TensorMap widen(Widening widening, TensorMap tensors, const std::string& origin);
TensorMap as_f32(TensorMap tensors, const std::string& origin);
// The tensor in f32; itself when it is f32.
Tensor widened(const Tensor& tensor);

// Fresh weights by reference.md A.5 and H, a pure function of (config, seed, tensor name).
TensorMap initial_tensors(const Architecture& config, uint64_t seed);
Tensor initial_tensor(const Param& param, uint64_t seed);

}  // namespace nestvit

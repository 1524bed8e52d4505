// The model of a Flax golden case (tests/golden/flax/*): its meta.json and arrays, as our
// configuration and tensors.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "model/nest.h"
#include "model/preprocessing.h"
#include "support/golden.h"
#include "weights/flax/names.h"
#include "weights/model_dir.h"
#include "weights/safetensors.h"

namespace nestvit::testing {

inline nlohmann::json golden_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read the golden file " + path.string());
  return nlohmann::json::parse(file);
}

// The configuration that `case_dir`/meta.json describes: the named variant with the case's
// overrides.
inline NestConfig golden_flax_config(const std::filesystem::path& case_dir) {
  const nlohmann::json meta = golden_json(case_dir / "meta.json");
  NestConfig config = variant(meta.at("model_name").get<std::string>());
  config.image_size = meta.at("image").get<int>();
  config.num_classes = meta.at("classes").get<int>();
  Fields overrides = fields(config);
  for (const auto& [key, value] : meta.at("nest_config").items())
    overrides.set(key, value.is_string() ? value.get<std::string>() : value.dump());
  return config;
}

// The case's arrays as they are on file: by Flax path; `batch_stats` is empty unless the norm is
// BN.
inline TensorMap golden_flax_params(const std::filesystem::path& case_dir) {
  return read_safetensors(case_dir / "params.safetensors");
}
inline TensorMap golden_flax_batch_stats(const std::filesystem::path& case_dir) {
  const auto path = case_dir / "batch_stats.safetensors";
  return std::filesystem::exists(path) ? read_safetensors(path) : TensorMap{};
}

inline LoadedModel golden_flax_model(const std::filesystem::path& case_dir) {
  LoadedModel model;
  model.config = golden_flax_config(case_dir);
  const TensorMap params = golden_flax_params(case_dir);
  model.config.in_channels = static_cast<int>(
      find_tensor(params, "PatchEmbedding_0/Conv_0/kernel", case_dir.string()).dim(2));
  model.preprocessing = preprocessing_mode("jax", model.config.image_size);
  for (int k = 0; k < model.config.num_classes; ++k)
    model.labels.push_back("class " + std::to_string(k));
  model.origin = case_dir.string();
  model.tensors = from_flax(params, golden_flax_batch_stats(case_dir), model.config, model.origin);
  return model;
}

}  // namespace nestvit::testing

// A network whose explanations other programs computed, and its images.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "support/golden.h"
#include "support/golden_model.h"
#include "weights/model_dir.h"
#include "weights/safetensors.h"

namespace nestvit::testing {

struct GoldenCase {
  LoadedModel model;
  std::vector<float> images;  // [B, channels, S, S]
  int batch = 0;
};

inline GoldenCase golden_case(const std::filesystem::path& folder) {
  GoldenCase result;
  if (!std::filesystem::exists(folder / "meta.json")) {  // of timm
    result.model = load_model(folder);
    const TensorMap arrays = read_safetensors(folder / "explain.safetensors");
    const Tensor& input = find_tensor(arrays, "input", folder.string());
    result.images = input.to_f32();
    result.batch = static_cast<int>(input.dim(0));
    return result;
  }
  result.model = testing::golden_flax_model(folder);
  const TensorMap arrays = read_safetensors(folder / "io.safetensors");
  const Tensor& input = find_tensor(arrays, "input", folder.string());  // [B, S, S, channels]
  const std::vector<float> values = input.to_f32();
  const auto channels = static_cast<size_t>(input.dim(3));
  const size_t image = values.size() / static_cast<size_t>(input.dim(0));
  const size_t plane = image / channels;
  result.batch = static_cast<int>(input.dim(0));
  result.images.resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t b = i / image, pixel = i % image / channels, c = i % channels;
    result.images[b * image + c * plane + pixel] = values[i];
  }
  return result;
}

}  // namespace nestvit::testing

// The cases of the golden folder augment/: NAME.json and NAME.safetensors beside it.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "image/image.h"
#include "support/golden.h"
#include "support/near.h"
#include "weights/safetensors.h"

namespace nestvit::testing {

// [H, W, C] of bytes.
inline Image image_of(const Tensor& tensor) {
  const auto bytes = tensor.as<uint8_t>();
  return {static_cast<int>(tensor.dim(0)),
          static_cast<int>(tensor.dim(1)),
          static_cast<int>(tensor.dim(2)),
          {bytes.begin(), bytes.end()}};
}

inline std::vector<std::string> split_key(const std::string& key) {
  std::vector<std::string> parts;
  std::stringstream stream(key);
  for (std::string part; std::getline(stream, part, '/');) parts.push_back(part);
  return parts;
}

struct AugmentGoldens {
  explicit AugmentGoldens(const std::string& name,
                          const std::filesystem::path& root = golden_root())
      : meta(nlohmann::json::parse(read_text(root / "augment" / (name + ".json")))),
        tensors(read_safetensors(root / "augment" / (name + ".safetensors"))) {}
  const Tensor& at(const std::string& key) const { return find_tensor(tensors, key, "augment"); }
  Image image(const std::string& key) const { return image_of(at(key)); }

  nlohmann::json meta;
  TensorMap tensors;
};

// Bytes that differ between two images of one shape.
inline size_t differing(const Image& a, const Image& b) {
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  size_t count = 0;
  for (size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i)
    count += a.pixels[i] != b.pixels[i];
  return count;
}

// [C, H, W] of [H, W, C], for each of `count` images.
inline std::vector<float> planar(std::span<const float> values, size_t count, size_t channels) {
  std::vector<float> result(values.size());
  const size_t image = values.size() / count, plane = image / channels;
  for (size_t b = 0; b < count; ++b)
    for (size_t i = 0; i < plane; ++i)
      for (size_t c = 0; c < channels; ++c)
        result[b * image + c * plane + i] = values[b * image + i * channels + c];
  return result;
}

}  // namespace nestvit::testing

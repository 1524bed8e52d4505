// A test of nestvit explain: a model of three levels and a photo.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "support/cli_test.h"

namespace nestvit::testing {

using nlohmann::json;

// Three levels of one layer: two choices, 16 leaf blocks of 4 x 4 pixels. Its answers differ
// between images and classes.
inline LoadedModel three_levels(std::vector<std::string> labels) {
  LoadedModel model = tiny_model(std::move(labels));
  model.config.image_size = 16;
  model.preprocessing = preprocessing_mode("jax", 16);
  Fields settings = fields(model.config);
  settings.set("num_layers_per_block", "[1, 1, 1]");
  model.tensors = initial_tensors(model.config, 7);
  const Tensor& head = model.tensors.at("head.weight");
  std::vector<float> weight = head.to_f32();
  for (float& w : weight) w *= 50;
  model.tensors["head.weight"] = Tensor::f32(head.shape(), weight);
  return model;
}

class ExplainCli : public CliTest {
 protected:
  void SetUp() override {
    save("model", three_levels({"ant", "bee", "cat"}));
    write_image("photo.png", {10, 100, 200}, 21);
  }
  Outcome explain(const std::string& arguments) const {
    return nestvit("explain --model model " + arguments);
  }
  // The one explanation of photo.png.
  json explained(const std::string& arguments = "") const {
    const Outcome outcome = explain("photo.png --format json " + arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const json list = json::parse(outcome.out, nullptr, false);
    if (!list.is_array() || list.size() != 1) {
      ADD_FAILURE() << "no list of one explanation: " << outcome.out;
      return {};
    }
    return list[0];
  }
  std::set<std::string> files_in(const std::string& folder) const {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(path(folder)))
      names.insert(entry.path().filename().string());
    return names;
  }
  // An image whose quadrants differ.
  void write_patches(const std::string& name, int size) const {
    Image image{size, size, 3, {}};
    for (int y = 0; y < size; ++y)
      for (int x = 0; x < size; ++x)
        for (int c = 0; c < 3; ++c)
          image.pixels.push_back(static_cast<uint8_t>((x * 40 * (c + 1) + y * y * 7) % 256));
    write_png(path(name), image);
  }
};

}  // namespace nestvit::testing

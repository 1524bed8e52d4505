// A tiny model and an image, and what the internal library makes of them.
#include "e2e/api/fixture.h"

#include <fmt/format.h>
#include <unistd.h>

#include "image/codecs/codec.h"
#include "image/transform.h"
#include "runtime/engine.h"
#include "weights/model_dir.h"

namespace nestvit::testing {
namespace {

constexpr int kSide = 12;

LoadedModel tiny_model() {
  LoadedModel model;
  model.config = variant("nest_tiny_s16_32");
  model.config.image_size = 8;
  model.config.num_classes = 4;
  Fields settings = fields(model.config);
  settings.set("num_layers_per_block", "[1, 1]");
  settings.set("embedding_dim", "8");
  settings.set("num_heads", "2");
  model.preprocessing = preprocessing_mode("timm", 8);
  model.labels = {"ant", "bee", "cat", "dog"};
  model.tensors = initial_tensors(model.config, 7);
  return model;
}

}  // namespace

Fixture::Fixture()
    : folder(std::filesystem::temp_directory_path() / fmt::format("nestvit-api-{}", getpid())) {
  const LoadedModel model = tiny_model();
  save_model(folder / "model", model);
  Sample sample;
  sample.image = {kSide, kSide, 3, {}};
  for (size_t i = 0; i < sample.image.size(); ++i)
    sample.image.pixels.push_back(static_cast<uint8_t>(i * 37 % 251));
  pixels = sample.image.pixels;
  write_png(folder / "image.png", sample.image);
  const Pixels prepared = evaluation_pixels(sample, model.preprocessing);
  input.resize(prepared.values.size());
  normalise(prepared, model.preprocessing, input);
  logits = Engine(model, {1}).run(input, 1).logits;
}

Fixture::~Fixture() {
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

}  // namespace nestvit::testing

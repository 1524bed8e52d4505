// The public library's work, by the internal one.
#include "api/classifier.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include "base/file.h"
#include "image/transform.h"
#include "report/metrics.h"
#include "runtime/engine.h"
#include "weights/import.h"

namespace nestvit {

struct Classifier::State {
  NestConfig config;
  Preprocessing preprocessing;
  std::vector<std::string> labels;
  Engine engine;

  State(const Model& model, const EngineOptions& options)
      : config(model.config),
        preprocessing(model.preprocessing),
        labels(model.labels),
        engine(model, options) {}

  std::vector<float> prepared(const Sample& sample) const {
    const Pixels pixels = evaluation_pixels(sample, preprocessing);
    std::vector<float> chw(pixels.values.size());
    normalise(pixels, preprocessing, chw);
    return chw;
  }
};

Classifier::Classifier(const std::filesystem::path& path, const ClassifierOptions& options) {
  ImportOptions import;
  import.prefer_ema = options.use_ema;
  import.types = Types::kReal;
  EngineOptions engine;
  engine.threads = options.threads;
  engine.precision = options.precision;
  state_ = std::make_unique<State>(import_model(path, import), engine);
}
Classifier::~Classifier() = default;

std::vector<float> Classifier::prepared(const std::filesystem::path& image) const {
  const auto file = MappedFile::open(image);
  Sample sample;
  sample.encoded.assign(file->bytes().begin(), file->bytes().end());
  sample.name = image.string();
  return state_->prepared(sample);
}

std::vector<float> Classifier::prepared(std::span<const std::byte> encoded) const {
  Sample sample;
  sample.encoded.assign(encoded.begin(), encoded.end());
  sample.name = "the image";
  if (encoded.empty()) throw Error("the image is empty", "give the bytes of a JPEG, PNG or WebP");
  return state_->prepared(sample);
}

std::vector<float> Classifier::prepared(const RawPixels& p) const {
  if (!p.data || p.height < 1 || p.width < 1 || (p.channels != 1 && p.channels != 3))
    throw Error(fmt::format("an image of {} x {} pixels of {} channels cannot be prepared",
                            p.height, p.width, p.channels),
                "give 8-bit pixels of 1 channel (grey) or 3 (RGB)");
  Sample sample;
  sample.image = {p.height, p.width, p.channels, {}};
  sample.image.pixels.assign(p.data, p.data + sample.image.size());
  sample.name = "the image";
  return state_->prepared(sample);
}

std::vector<float> Classifier::logits(std::span<const float> input) const {
  const NestConfig& config = state_->config;
  const size_t image = size_t{1} * config.in_channels * config.image_size * config.image_size;
  if (input.empty() || input.size() % image != 0)
    throw Error(
        fmt::format("the input holds {} numbers, expected a multiple of {} ({} x {} x {})",
                    input.size(), image, config.in_channels, config.image_size, config.image_size),
        "prepare() makes the input of one image");
  return state_->engine.run(input, static_cast<int>(input.size() / image)).logits;
}

std::vector<std::pair<int, float>> Classifier::best(std::span<const float> logits,
                                                    int count) const {
  if (count < 1)
    throw Error(fmt::format("{} classes cannot be named", count), "ask for one or more");
  const std::vector<float> probabilities = softmax(logits);
  std::vector<std::pair<int, float>> result;
  for (const int index : top_indices(probabilities, count))
    result.emplace_back(index, probabilities[static_cast<size_t>(index)]);
  return result;
}

int Classifier::channels() const { return state_->config.in_channels; }
int Classifier::image_size() const { return state_->config.image_size; }
const std::vector<std::string>& Classifier::labels() const { return state_->labels; }

}  // namespace nestvit

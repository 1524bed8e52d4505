// The public library, by the internal one; include/nestvit/nestvit.h has the contracts.
#include <fmt/format.h>
#include <nestvit/nestvit.h>

#include <optional>

#include "api/explanation.h"
#include "base/file.h"
#include "explain/explainer.h"
#include "image/transform.h"
#include "metrics/metrics.h"
#include "runtime/engine.h"
#include "weights/import.h"

namespace nestvit {
namespace {

LoadedModel read_model(const std::filesystem::path& path, const Options& options) {
  ImportOptions import;
  import.prefer_ema = options.use_ema;
  import.widening = Widening::kLater;
  return import_model(path, import);
}

EngineOptions engine_options(const Options& options) {
  EngineOptions engine;
  engine.threads = options.threads;
  engine.precision = options.dtype;
  return engine;
}

Sample sample_of(const std::filesystem::path& image) {
  const auto file = MappedFile::open(image);
  Sample sample;
  sample.name = image.string();
  sample.encoded.assign(file->bytes().begin(), file->bytes().end());
  return sample;
}

Sample sample_of(std::span<const std::byte> encoded) {
  if (encoded.empty()) throw Error("the image is empty", "give the bytes of a JPEG, PNG or WebP");
  Sample sample;
  sample.name = "the image";
  sample.encoded.assign(encoded.begin(), encoded.end());
  return sample;
}

Sample sample_of(const ImageView& image) {
  if (!image.pixels || image.height < 1 || image.width < 1 ||
      (image.channels != 1 && image.channels != 3))
    throw Error(fmt::format("an image of {} x {} pixels of {} channels cannot be prepared",
                            image.height, image.width, image.channels),
                "give 8-bit pixels of 1 channel (grey) or 3 (RGB)");
  Sample sample;
  sample.name = "the image";
  sample.image = {image.height, image.width, image.channels, {}};
  sample.image.pixels.assign(image.pixels, image.pixels + sample.image.size());
  return sample;
}

}  // namespace

inline namespace v0 {

std::string version() { return NESTVIT_VERSION; }

struct Model::Impl {
  NestConfig config;
  Preprocessing preprocessing;
  std::vector<std::string> labels;
  std::optional<Explainer> explainer;  // with Options::explain
  std::optional<Engine> engine;        // without it, and for types that the explainer lacks

  Impl(const LoadedModel& model, const Options& options)
      : config(model.config), preprocessing(model.preprocessing), labels(model.labels) {
    if (options.explain) explainer.emplace(model, options.threads);
    if (!explainer || options.dtype != NumberType::kF32)
      engine.emplace(model, engine_options(options));
  }

  // [channels, S, S]
  std::vector<float> prepared(const Sample& sample) const {
    const Pixels pixels = evaluation_pixels(sample, preprocessing);
    std::vector<float> chw(pixels.values.size());
    normalise(pixels, preprocessing, chw);
    return chw;
  }

  // `input` [B, channels, S, S] -> logits [B, K]
  std::vector<float> logits(std::span<const float> input) const {
    const size_t image = size_t{1} * config.in_channels * config.image_size * config.image_size;
    if (input.empty() || input.size() % image != 0)
      throw Error(
          fmt::format("the input holds {} numbers, expected a multiple of {} ({} x {} x {})",
                      input.size(), image, config.in_channels, config.image_size,
                      config.image_size),
          "prepare() makes the input of one image");
    const auto batch = static_cast<int>(input.size() / image);
    return engine ? engine->run(input, batch).logits : explainer->engine().logits(input, batch);
  }

  std::vector<Prediction> predictions(std::span<const float> input, int topk) const {
    if (topk < 1)
      throw Error(fmt::format("{} classes cannot be named", topk), "ask for one or more");
    const std::vector<float> probabilities = softmax(logits(input));
    std::vector<Prediction> result;
    for (const int index : top_indices(probabilities, topk)) {
      const auto k = static_cast<size_t>(index);
      result.push_back({index, labels.at(k), probabilities[k]});
    }
    return result;
  }

  Explanation explain(const Sample& sample, const ExplainRequest& request) const {
    if (!explainer)
      throw Error("the model was loaded without what explain() computes with",
                  "load it with Options::explain");
    return to_public(explainer->explain(sample, request).at(0));
  }
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

Model Model::load(const std::filesystem::path& path, const Options& options) {
  return Model(std::make_unique<Impl>(read_model(path, options), options));
}

std::vector<Prediction> Model::classify(const std::filesystem::path& image, int topk) const {
  return impl_->predictions(impl_->prepared(sample_of(image)), topk);
}
std::vector<Prediction> Model::classify(std::span<const std::byte> encoded, int topk) const {
  return impl_->predictions(impl_->prepared(sample_of(encoded)), topk);
}
std::vector<Prediction> Model::classify(const ImageView& image, int topk) const {
  return impl_->predictions(prepare(image), topk);
}

Explanation Model::explain(const std::filesystem::path& image, int index, int against,
                           const ExplainOptions& options) const {
  return impl_->explain(sample_of(image), to_request(index, against, options));
}
Explanation Model::explain(std::span<const std::byte> encoded, int index, int against,
                           const ExplainOptions& options) const {
  return impl_->explain(sample_of(encoded), to_request(index, against, options));
}
Explanation Model::explain(const ImageView& image, int index, int against,
                           const ExplainOptions& options) const {
  return impl_->explain(sample_of(image), to_request(index, against, options));
}

std::vector<float> Model::run(std::span<const float> input) const { return impl_->logits(input); }

std::vector<float> Model::prepare(const ImageView& image) const {
  return impl_->prepared(sample_of(image));
}

int Model::channels() const { return impl_->config.in_channels; }
int Model::image_size() const { return impl_->config.image_size; }
const std::vector<std::string>& Model::labels() const { return impl_->labels; }

}  // namespace v0
}  // namespace nestvit

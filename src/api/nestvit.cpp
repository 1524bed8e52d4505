// The public library; see include/nestvit/nestvit.h.
#include <nestvit/nestvit.h>

#include "api/classifier.h"

namespace nestvit {
inline namespace v0 {

std::string version() { return NESTVIT_VERSION; }

struct Model::Impl {
  Classifier classifier;

  std::vector<Prediction> predictions(const std::vector<float>& input, int topk) const {
    std::vector<Prediction> result;
    for (const auto& [index, probability] : classifier.best(classifier.logits(input), topk))
      result.push_back({index, classifier.labels().at(static_cast<size_t>(index)), probability});
    return result;
  }
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

Model Model::load(const std::filesystem::path& path, const Options& options) {
  const Precision precision = options.dtype == Dtype::int8   ? Precision::kInt8
                              : options.dtype == Dtype::bf16 ? Precision::kBf16
                                                             : Precision::kF32;
  return Model(std::unique_ptr<Impl>(
      new Impl{Classifier(path, {options.threads, precision, options.use_ema})}));
}

std::vector<Prediction> Model::classify(const std::filesystem::path& image, int topk) const {
  return impl_->predictions(impl_->classifier.prepared(image), topk);
}

std::vector<Prediction> Model::classify(std::span<const std::byte> encoded, int topk) const {
  return impl_->predictions(impl_->classifier.prepared(encoded), topk);
}

std::vector<Prediction> Model::classify(const ImageView& image, int topk) const {
  return impl_->predictions(prepare(image), topk);
}

std::vector<float> Model::run(std::span<const float> input) const {
  return impl_->classifier.logits(input);
}

std::vector<float> Model::prepare(const ImageView& image) const {
  return impl_->classifier.prepared(
      RawPixels{image.pixels, image.height, image.width, image.channels});
}

int Model::channels() const { return impl_->classifier.channels(); }
int Model::image_size() const { return impl_->classifier.image_size(); }
const std::vector<std::string>& Model::labels() const { return impl_->classifier.labels(); }

}  // namespace v0
}  // namespace nestvit

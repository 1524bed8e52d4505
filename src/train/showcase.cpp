// Choosing images while an evaluation runs.
#include "train/showcase.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "report/metrics.h"

namespace nestvit::train {
namespace {

constexpr int kAnswers = 3;

ShownImage shown(std::span<const float> logits, int label, int64_t index, double loss) {
  ShownImage image{index, label, loss, {}};
  const std::vector<float> shares = softmax(logits);
  for (const int answer : top_indices(logits, kAnswers))
    image.answers.emplace_back(answer, static_cast<double>(shares[answer]));
  return image;
}

}  // namespace

bool Showcase::is_sample(int64_t index) const {
  // index = i * images / kImages, rounded down, for some i
  const int64_t i = (index * kImages + images_ - 1) / images_;
  return i < kImages && i * images_ / kImages == index;
}

void Showcase::add(std::span<const float> logits, std::span<const int> labels,
                   std::span<const int64_t> indices) {
  if (labels.empty()) return;
  const size_t classes = logits.size() / labels.size();
  NESTVIT_CHECK(logits.size() == labels.size() * classes && indices.size() == labels.size());
  for (size_t n = 0; n < labels.size(); ++n) {
    const auto row = logits.subspan(n * classes, classes);
    double loss = cross_entropy(row, labels[n]);
    if (std::isnan(loss)) loss = std::numeric_limits<double>::infinity();
    if (is_sample(indices[n])) samples_.push_back(shown(row, labels[n], indices[n], loss));
    if (top_indices(row, 1)[0] == labels[n]) continue;
    if (mistakes_.size() == kImages && loss <= mistakes_.back().loss) continue;
    const auto place = std::find_if(mistakes_.begin(), mistakes_.end(),
                                    [&](const ShownImage& m) { return m.loss < loss; });
    mistakes_.insert(place, shown(row, labels[n], indices[n], loss));
    if (mistakes_.size() > kImages) mistakes_.pop_back();
  }
}

}  // namespace nestvit::train

// Choosing images while an evaluation runs.
#include "run/record/example_picks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "metrics/metrics.h"

namespace nestvit {
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

bool ExamplePicks::is_sample(int64_t index) const {
  // index = i * images / kImages, rounded down, for some i
  const int64_t i = (index * kImages + images_ - 1) / images_;
  return i < kImages && i * images_ / kImages == index;
}

void ExamplePicks::add(std::span<const float> logits, std::span<const int> labels,
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
    add_mistake(shown(row, labels[n], indices[n], loss));
  }
}

void ExamplePicks::add_mistake(ShownImage image) {
  const auto place = std::find_if(mistakes_.begin(), mistakes_.end(),
                                  [&](const ShownImage& m) { return m.loss < image.loss; });
  mistakes_.insert(place, std::move(image));
  if (mistakes_.size() > kImages) mistakes_.pop_back();
}

// CBOR, not JSON: a loss may be infinite.
std::string ExamplePicks::packed() const {
  nlohmann::json lists = nlohmann::json::array();
  for (const auto* images : {&samples_, &mistakes_}) {
    lists.push_back(nlohmann::json::array());
    for (const ShownImage& image : *images)
      lists.back().push_back({image.index, image.label, image.loss, image.answers});
  }
  std::string bytes;
  nlohmann::json::to_cbor(lists, bytes);
  return bytes;
}

void ExamplePicks::add_packed(const std::string& other) {
  const nlohmann::json lists = nlohmann::json::from_cbor(other);
  const auto image = [](const nlohmann::json& fields) {
    return ShownImage{fields.at(0).get<int64_t>(), fields.at(1).get<int>(),
                      fields.at(2).get<double>(),
                      fields.at(3).get<std::vector<std::pair<int, double>>>()};
  };
  for (const auto& fields : lists.at(0)) samples_.push_back(image(fields));
  for (const auto& fields : lists.at(1)) add_mistake(image(fields));
}

}  // namespace nestvit

// Checks requests, chooses classes, weighs logits.
#include "explain/request.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "metrics/metrics.h"

namespace nestvit {
namespace {

constexpr int kPredictions = 5;  // named beside an explanation

void check_class(int index, int classes) {
  if (index < 0 || index >= classes)
    throw UsageError(fmt::format("class {} is not one of the model's {}", index, classes),
                     fmt::format("0 is the first, {} the last", classes - 1));
}

// What to explain of an image with these logits.
std::vector<int> chosen_classes(const ExplainRequest& request, std::span<const float> logits) {
  if (!request.classes.empty()) return request.classes;
  const int wanted = request.topk + (request.against ? 1 : 0);
  std::vector<int> best =
      top_indices(logits, std::min(wanted, static_cast<int>(std::ssize(logits))));
  if (request.against) std::erase(best, *request.against);
  if (std::ssize(best) > request.topk) best.resize(static_cast<size_t>(request.topk));
  return best;
}

// One-hot less softmax. The entry of the class is the sum of the other probabilities: 1 - p would
// lose them where p is almost 1.
std::vector<float> log_probability_weights(std::span<const float> logits, size_t index) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> powers;
  double sum = 0, others = 0;
  for (size_t k = 0; k < logits.size(); ++k) {
    powers.push_back(std::exp(logits[k] - largest));
    sum += powers.back();
    if (k != index) others += powers.back();
  }
  std::vector<float> weights;
  for (size_t k = 0; k < logits.size(); ++k)
    weights.push_back(static_cast<float>((k == index ? others : -powers[k]) / sum));
  return weights;
}

Target target_of(int index, const ExplainRequest& request, std::span<const float> logits,
                 const std::vector<std::string>& labels) {
  Target target;
  target.description.kind = request.target;
  target.description.index = index;
  target.description.label = labels.at(static_cast<size_t>(index));
  if (request.target == TargetKind::kLogProbability) {
    target.weights = log_probability_weights(logits, static_cast<size_t>(index));
  } else {
    target.weights.assign(logits.size(), 0.0f);
    target.weights[static_cast<size_t>(index)] = 1;
    if (request.against) {
      target.weights[static_cast<size_t>(*request.against)] = -1;
      target.description.against = request.against;
      target.description.against_label = labels.at(static_cast<size_t>(*request.against));
    }
  }
  for (size_t k = 0; k < logits.size(); ++k)
    target.description.value += static_cast<double>(target.weights[k]) * logits[k];
  return target;
}

}  // namespace

const std::vector<std::string>& explain_method_names() {
  static const std::vector<std::string> names = {"gradcat",  "relevance", "cam",
                                                 "layercam", "gradcam",   "occlusion"};
  return names;
}

bool shows_plane(ExplainMethod method) {
  return method == ExplainMethod::kRelevance || method == ExplainMethod::kLayerCam ||
         method == ExplainMethod::kGradCam;
}

int plane_of(const ExplainRequest& request, int levels) {
  const bool pixels_allowed = request.method == ExplainMethod::kRelevance;
  const int level = request.level.value_or(levels > 1 || !pixels_allowed ? 1 : kPixelLevel);
  if (level == kPixelLevel && pixels_allowed) return level;
  if (levels == 1)
    throw UsageError("a model of one level has no ConvPool whose plane could be shown",
                     "use relevance on pixels, cam or occlusion");
  if (level < 1 || level >= levels)
    throw UsageError(level == kPixelLevel ? "only relevance is shown on pixels"
                                          : fmt::format("level {} has no plane to show", level),
                     fmt::format("levels 1 to {} begin with a ConvPool", levels - 1));
  return level;
}

void check_request(const ExplainRequest& request, const NestConfig& config) {
  for (const int index : request.classes) check_class(index, config.num_classes);
  if (request.against) {
    check_class(*request.against, config.num_classes);
    if (std::count(request.classes.begin(), request.classes.end(), *request.against) > 0)
      throw UsageError(fmt::format("class {} cannot be explained against itself", *request.against),
                       "name another class");
    if (config.num_classes == 1)
      throw UsageError("class 0 is the model's only one", "leave out the class to compare with");
    if (request.target == TargetKind::kLogProbability)
      throw UsageError("the difference of two log-probabilities is that of their logits",
                       "leave out the log-probability, or the class to compare with");
  }
  if (request.classes.empty() && request.topk < 1)
    throw UsageError(fmt::format("{} classes cannot be explained", request.topk),
                     "ask for one or more");
  if (shows_plane(request.method))
    plane_of(request, static_cast<int>(std::ssize(config.num_layers_per_block)));
  else if (request.level)
    throw UsageError("a level belongs to relevance, layercam and gradcam",
                     "leave it out, or choose one of these methods");
  if (request.verify && request.method != ExplainMethod::kGradCat)
    throw UsageError("only the path of gradcat can be verified by masking",
                     "leave out the verification, or use the method occlusion");
}

std::vector<Target> targets_of(const ExplainRequest& request, std::span<const float> logits,
                               const std::vector<std::string>& labels) {
  std::vector<Target> targets;
  for (const int index : chosen_classes(request, logits))
    targets.push_back(target_of(index, request, logits, labels));
  return targets;
}

std::vector<ExplainedClass> named_classes(std::span<const float> logits, const Target& target,
                                          const std::vector<std::string>& labels) {
  const std::vector<float> probabilities = softmax(logits);
  std::vector<ExplainedClass> result;
  const auto add = [&](int index) {
    const auto k = static_cast<size_t>(index);
    result.push_back({index, labels.at(k), probabilities[k], logits[k]});
  };
  std::vector<int> listed =
      top_indices(logits, std::min(kPredictions, static_cast<int>(std::ssize(logits))));
  for (const int index : top_indices(logits, static_cast<int>(std::ssize(logits))))
    if (std::find(listed.begin(), listed.end(), index) == listed.end() &&
        (index == target.description.index || target.description.against == index))
      listed.push_back(index);
  for (const int index : listed) add(index);
  return result;
}

}  // namespace nestvit

// Prepares images as every pass over a model does, runs the engine once for a batch, and makes
// trees and maps of what it gives.
#include "explain/explainer.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "explain/maps.h"
#include "image/codecs/codec.h"
#include "metrics/metrics.h"

namespace nestvit {
namespace {

constexpr int kPredictions = 5;  // named beside an explanation

struct Target {
  ExplainedTarget description;
  std::vector<float> weights;  // t [K]
};

// One image, prepared.
struct Prepared {
  Explanation frame;  // what all its explanations have in common
  View view;
  std::vector<float> logits;  // [K]
  std::vector<Target> targets;
};

void check_class(int index, int classes) {
  if (index < 0 || index >= classes)
    throw UsageError(fmt::format("class {} is not one of the model's {}", index, classes),
                     fmt::format("0 is the first, {} the last", classes - 1));
}

// The ConvPool whose plane a heat map shows, or kPixelLevel.
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

bool shows_plane(ExplainMethod method) {
  return method == ExplainMethod::kRelevance || method == ExplainMethod::kLayerCam ||
         method == ExplainMethod::kGradCam;
}

void check_request(const ExplainRequest& request, const NestConfig& config, int levels) {
  for (const int index : request.classes) check_class(index, config.num_classes);
  if (request.against) {
    check_class(*request.against, config.num_classes);
    if (std::count(request.classes.begin(), request.classes.end(), *request.against) > 0)
      throw UsageError(fmt::format("class {} cannot be explained against itself", *request.against),
                       "name another class");
    if (request.target == TargetKind::kLogProbability)
      throw UsageError("the difference of two log-probabilities is that of their logits",
                       "leave out the log-probability, or the class to compare with");
  }
  if (request.classes.empty() && request.topk < 1)
    throw UsageError(fmt::format("{} classes cannot be explained", request.topk),
                     "ask for one or more");
  if (shows_plane(request.method))
    plane_of(request, levels);
  else if (request.level)
    throw UsageError("a level belongs to relevance, layercam and gradcam",
                     "leave it out, or choose one of these methods");
  if (request.verify && request.method != ExplainMethod::kGradCat)
    throw UsageError("only the path of gradcat can be verified by masking",
                     "leave out the verification, or use the method occlusion");
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

// The best classes, and those that the target is about where they are not among them.
std::vector<ExplainedClass> predictions(std::span<const float> logits, const Target& target,
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

// Runs `act`; an Error that it throws names the image.
template <class F>
auto named(const std::string& image, F&& act) {
  try {
    return act();
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", image, error.what()), error.hint());
  }
}

}  // namespace

const std::vector<std::string>& explain_method_names() {
  static const std::vector<std::string> names = {"gradcat",  "relevance", "cam",
                                                 "layercam", "gradcam",   "occlusion"};
  return names;
}

OriginalBox on_original(const PixelBox& box, const View& view, int height, int width) {
  const auto x = [&](double at) {
    return std::clamp(view.scale_x * at + view.shift_x, 0.0, static_cast<double>(width));
  };
  const auto y = [&](double at) {
    return std::clamp(view.scale_y * at + view.shift_y, 0.0, static_cast<double>(height));
  };
  const PixelBox mapped = {x(box[0]), y(box[1]), x(box[2]), y(box[3])};
  if (mapped[2] <= mapped[0] || mapped[3] <= mapped[1]) return std::nullopt;
  return mapped;
}

struct Explainer::Impl {
  NestConfig config;
  Preprocessing preprocessing;
  std::vector<std::string> labels;
  std::string origin;
  std::vector<Level> levels;
  std::vector<float> head;  // [K, C]
  GradientEngine engine;

  Impl(const LoadedModel& model, int threads)
      : config(model.config),
        preprocessing(model.preprocessing),
        labels(model.labels),
        origin(model.origin),
        levels(geometry(config)),
        head(find_tensor(model.tensors, "head.weight", model.origin).to_f32()),
        engine(model, threads) {}

  int token() const { return config.init_patch_embed_size; }
  int depth() const { return static_cast<int>(levels.size()); }

  // Appends the image to `batch`.
  Prepared prepare(const Sample& sample, std::vector<float>& batch) const {
    Sample raw;
    raw.name = sample.name;
    raw.image = decoded(sample, preprocessing);
    const Pixels pixels = evaluation_pixels(raw, preprocessing);
    const size_t begin = batch.size();
    batch.resize(begin + pixels.values.size());
    normalise(pixels, preprocessing, std::span(batch).subspan(begin));

    Prepared image;
    Explanation& frame = image.frame;
    frame.file = sample.name;
    frame.height = raw.image.height;
    frame.width = raw.image.width;
    frame.turned = preprocessing.exif_orientation && !sample.encoded.empty() &&
                   probe_image(sample.encoded, sample.name).orientation != 1;
    image.view = evaluation_view(frame.height, frame.width, preprocessing);
    const double side = config.image_size;
    frame.seen = on_original({0, 0, side, side}, image.view, frame.height, frame.width);
    frame.variant = config.variant;
    frame.origin = origin;
    frame.image_size = config.image_size;
    frame.levels = depth();
    return image;
  }

  void set_targets(Prepared& image, std::span<const float> logits,
                   const ExplainRequest& request) const {
    if (!std::all_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); }))
      throw Error(fmt::format("{}: logits are not finite", image.frame.file),
                  "the weights or the input hold NaN or infinity");
    image.logits.assign(logits.begin(), logits.end());
    image.targets.clear();
    for (const int index : chosen_classes(request, logits))
      image.targets.push_back(target_of(index, request, logits, labels));
  }

  Explanation begun(const Prepared& image, const Target& target,
                    const ExplainRequest& request) const {
    Explanation result = image.frame;
    result.target = target.description;
    result.predictions = predictions(image.logits, target, labels);
    result.method = explain_method_names().at(static_cast<size_t>(request.method));
    return result;
  }

  void place_boxes(Explanation& result, const View& view) const {
    if (!result.tree) return;
    for (TreeNode& node : result.tree->nodes)
      node.box = on_original(node.input_box, view, result.height, result.width);
  }

  std::vector<float> fill(std::span<const float> image, Fill kind) const {
    std::vector<float> black;
    for (size_t c = 0; c < preprocessing.mean.size(); ++c)
      black.push_back(static_cast<float>((0 - preprocessing.mean[c]) / preprocessing.std.at(c)));
    return substrate(image, config.in_channels, config.image_size, kind, black);
  }

  void add_tree(Explanation& result, const Gradients& gradients,
                const ExplainRequest& request) const {
    const bool at_input = request.site == Site::kInput;
    const bool ascent = request.sign == Sign::kAscent;
    result.site = at_input ? "input" : "output";
    result.sign = ascent ? "ascent" : "paper";
    std::vector<TokenScores> scores(levels.size());
    for (size_t i = levels.size() - 1; i > 0; --i) {
      const LevelGradients& level = gradients.levels.at(i);
      scores[i] = token_scores(at_input ? level.input : level.output, levels[i], request.sign);
      result.maps.push_back(token_map(scores[i], levels[i], token()));
    }
    result.tree = build_tree(levels, token(), scores);
    if (levels.size() > 1) set_explained(result, ascent ? 1 : -1);
  }

  static void set_explained(Explanation& result, int sign) {
    result.additive = true;
    result.explained = sign * result.maps.front().sum;
    result.constants = result.target.value - result.explained;
  }

  void add_map(Explanation& result, const Gradients& gradients, const Target& target,
               const ExplainRequest& request) const {
    const int plane = shows_plane(request.method) ? plane_of(request, depth()) : 0;
    switch (request.method) {
      case ExplainMethod::kCam:
        result.maps = {cam(gradients.final_norm, head, target.weights, levels.back(), token())};
        break;
      case ExplainMethod::kLayerCam:
        result.maps = {layer_cam(gradients, config, plane)};
        return;
      case ExplainMethod::kGradCam:
        result.maps = {grad_cam(gradients, config, plane)};
        return;
      default:
        result.maps = {plane == kPixelLevel ? pixel_relevance(gradients, config)
                                            : relevance(gradients, config, plane)};
    }
    set_explained(result, 1);
  }

  GradientOptions options(const ExplainRequest& request) const {
    GradientOptions options;
    options.propagation = request.propagation;
    if (request.method == ExplainMethod::kLayerCam || request.method == ExplainMethod::kGradCam)
      options.propagation = Propagation::kGradient;
    // The plane of the first ConvPool lies below the input of level 1.
    if (shows_plane(request.method) && plane_of(request, depth()) <= 1)
      options.depth = Depth::kPixels;
    return options;
  }

  Explanation of_gradients(const Prepared& image, const Target& target, const Gradients& gradients,
                           std::span<const float> pixels, const ExplainRequest& request) const {
    Explanation result = begun(image, target, request);
    if (request.method != ExplainMethod::kCam)
      result.propagation =
          options(request).propagation == Propagation::kConservative ? "conservative" : "gradient";
    if (request.method == ExplainMethod::kGradCat)
      add_tree(result, gradients, request);
    else
      add_map(result, gradients, target, request);
    if (request.verify)
      verify_path(*result.tree, engine, pixels, fill(pixels, request.fill), target.weights);
    place_boxes(result, image.view);
    return result;
  }

  Explanation by_masking(const Prepared& image, const Target& target, std::span<const float> pixels,
                         const ExplainRequest& request) const {
    Explanation result = begun(image, target, request);
    result.tree = occlusion_tree(engine, pixels, fill(pixels, request.fill), target.weights,
                                 request.occlude_all);
    if (request.occlude_all && levels.size() > 1)
      result.maps = {leaf_map(*result.tree, levels, token(), std::abs(target.description.value))};
    place_boxes(result, image.view);
    return result;
  }

  std::vector<std::vector<Explanation>> explain(std::span<const Sample> samples,
                                                const ExplainRequest& request) const {
    check_request(request, config, depth());
    std::vector<float> batch;
    std::vector<Prepared> images;
    for (const Sample& sample : samples) images.push_back(prepare(sample, batch));
    if (images.empty()) return {};
    const int size = static_cast<int>(images.size());
    const bool masks = request.method == ExplainMethod::kOcclusion;
    std::vector<std::vector<Gradients>> gradients;
    if (masks) {
      const std::vector<float> logits = engine.logits(batch, size);
      const size_t classes = logits.size() / images.size();
      for (size_t i = 0; i < images.size(); ++i)
        set_targets(images[i], std::span(logits).subspan(i * classes, classes), request);
    } else {
      gradients = engine.run(
          batch, size,
          [&](int i, std::span<const float> logits) {
            Prepared& image = images.at(static_cast<size_t>(i));
            set_targets(image, logits, request);
            std::vector<std::vector<float>> weights;
            for (const Target& target : image.targets) weights.push_back(target.weights);
            return weights;
          },
          options(request));
    }
    const size_t pixels = batch.size() / images.size();
    std::vector<std::vector<Explanation>> results;
    for (size_t i = 0; i < images.size(); ++i)
      results.push_back(named(images[i].frame.file, [&] {
        const auto input = std::span<const float>(batch).subspan(i * pixels, pixels);
        std::vector<Explanation> all;
        for (size_t j = 0; j < images[i].targets.size(); ++j) {
          const Target& target = images[i].targets[j];
          all.push_back(masks ? by_masking(images[i], target, input, request)
                              : of_gradients(images[i], target, gradients[i][j], input, request));
        }
        return all;
      }));
    return results;
  }
};

Explainer::Explainer(const LoadedModel& model, int threads) {
  require_head(model);
  impl_ = std::make_unique<Impl>(model, threads);
}
Explainer::~Explainer() = default;

std::vector<Explanation> Explainer::explain(const Sample& sample,
                                            const ExplainRequest& request) const {
  return std::move(impl_->explain(std::span(&sample, 1), request).front());
}

std::vector<std::vector<Explanation>> Explainer::explain(std::span<const Sample> samples,
                                                         const ExplainRequest& request) const {
  return impl_->explain(samples, request);
}

const GradientEngine& Explainer::engine() const { return impl_->engine; }

std::string Explainer::warning() const {
  if (impl_->config.norm_type != Norm::kGroup || impl_->levels.back().width != kGroupNormGroups)
    return "";
  return fmt::format(
      "the final group norm has one channel to each of its {} groups, so the logits are the same "
      "for every image, and what is explained is rounding",
      kGroupNormGroups);
}

}  // namespace nestvit

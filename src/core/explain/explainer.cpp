// Prepares images as every pass over a model does, runs the engine once for a batch, and makes
// trees and maps of what it gives.
#include "explain/explainer.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>

#include "explain/maps.h"
#include "image/codecs/codec.h"

namespace nestvit {
namespace {

// One image, prepared.
struct Prepared {
  ExplanationRecord frame;  // what all its explanations have in common
  View view;
  std::vector<float> logits;  // [K]
  std::vector<Target> targets;
};

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
    ExplanationRecord& frame = image.frame;
    frame.file = sample.name;
    frame.height = raw.image.height;
    frame.width = raw.image.width;
    frame.turned = preprocessing.exif_orientation && !sample.encoded.empty() &&
                   probe_image(sample.encoded, sample.name).orientation != 1;
    image.view = evaluation_view(frame.height, frame.width, preprocessing);
    const double side = config.image_size;
    frame.seen = on_original({0, 0, side, side}, image.view, frame.height, frame.width);
    const View& view = image.view;
    frame.extent = {view.shift_x, view.shift_y, view.scale_x * side + view.shift_x,
                    view.scale_y * side + view.shift_y};
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
    image.targets = targets_of(request, logits, labels);
  }

  ExplanationRecord begun(const Prepared& image, const Target& target,
                          const ExplainRequest& request) const {
    ExplanationRecord result = image.frame;
    result.target = target.description;
    result.predictions = named_classes(image.logits, target, labels);
    result.method = explain_method_names().at(static_cast<size_t>(request.method));
    return result;
  }

  void place_boxes(ExplanationRecord& result, const View& view) const {
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

  void add_tree(ExplanationRecord& result, const Gradients& gradients,
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

  static void set_explained(ExplanationRecord& result, int sign) {
    result.additive = true;
    result.explained = sign * result.maps.front().sum;
    result.constants = result.target.value - result.explained;
  }

  void add_map(ExplanationRecord& result, const Gradients& gradients, const Target& target,
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
    if (shows_plane(request.method) && plane_of(request, depth()) == kPixelLevel)
      options.depth = Depth::kPixels;
    return options;
  }

  ExplanationRecord of_gradients(const Prepared& image, const Target& target,
                                 const Gradients& gradients, std::span<const float> pixels,
                                 const ExplainRequest& request) const {
    ExplanationRecord result = begun(image, target, request);
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

  ExplanationRecord by_masking(const Prepared& image, const Target& target,
                               std::span<const float> pixels, const ExplainRequest& request) const {
    ExplanationRecord result = begun(image, target, request);
    result.tree = occlusion_tree(engine, pixels, fill(pixels, request.fill), target.weights,
                                 request.occlude_all);
    if (request.occlude_all && levels.size() > 1)
      result.maps = {leaf_map(*result.tree, levels, token(), std::abs(target.description.value))};
    place_boxes(result, image.view);
    return result;
  }

  // Sets the targets of all images.
  void look_at_logits(std::vector<Prepared>& images, std::span<const float> batch,
                      const ExplainRequest& request) const {
    const std::vector<float> logits = engine.logits(batch, static_cast<int>(images.size()));
    const size_t classes = logits.size() / images.size();
    for (size_t i = 0; i < images.size(); ++i)
      set_targets(images[i], std::span(logits).subspan(i * classes, classes), request);
  }

  std::vector<std::vector<Gradients>> run(std::vector<Prepared>& images,
                                          std::span<const float> batch,
                                          const ExplainRequest& request) const {
    const auto targets = [&](int i, std::span<const float> logits) {
      Prepared& image = images.at(static_cast<size_t>(i));
      set_targets(image, logits, request);
      std::vector<std::vector<float>> weights;
      for (const Target& target : image.targets) weights.push_back(target.weights);
      return weights;
    };
    try {
      return engine.run(batch, static_cast<int>(images.size()), targets, options(request));
    } catch (const Error&) {
      look_at_logits(images, batch, request);  // throws an Error that names the image
      throw;
    }
  }

  std::vector<std::vector<ExplanationRecord>> explain(std::span<const Sample> samples,
                                                      const ExplainRequest& request) const {
    check_request(request, config);
    std::vector<float> batch;
    std::vector<Prepared> images;
    for (const Sample& sample : samples) images.push_back(prepare(sample, batch));
    if (images.empty()) return {};
    const bool masks = request.method == ExplainMethod::kOcclusion;
    std::vector<std::vector<Gradients>> gradients;
    if (masks)
      look_at_logits(images, batch, request);
    else
      gradients = run(images, batch, request);
    const size_t pixels = batch.size() / images.size();
    std::vector<std::vector<ExplanationRecord>> results;
    for (size_t i = 0; i < images.size(); ++i)
      results.push_back(named(images[i].frame.file, [&] {
        const auto input = std::span<const float>(batch).subspan(i * pixels, pixels);
        std::vector<ExplanationRecord> all;
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

std::vector<ExplanationRecord> Explainer::explain(const Sample& sample,
                                                  const ExplainRequest& request) const {
  return std::move(impl_->explain(std::span(&sample, 1), request).front());
}

std::vector<std::vector<ExplanationRecord>> Explainer::explain(
    std::span<const Sample> samples, const ExplainRequest& request) const {
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

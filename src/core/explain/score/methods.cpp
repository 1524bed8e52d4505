// The list of rows; maps from gradients, from masking, and from nothing.
#include "explain/score/methods.h"

#include <algorithm>

#include "base/check.h"
#include "explain/maps.h"
#include "explain/occlusion.h"
#include "explain/score/controls.h"
#include "explain/score/tree_faithfulness.h"

namespace nestvit {
namespace {

bool uses(std::span<const ScoredMethod> methods, Propagation propagation) {
  return std::any_of(methods.begin(), methods.end(), [&](const ScoredMethod& method) {
    switch (method.kind) {
      case RowKind::kTree:
        return method.propagation == propagation;
      case RowKind::kRelevance:
      case RowKind::kCam:
        return propagation == Propagation::kConservative;
      case RowKind::kLayerCam:
      case RowKind::kGradCam:
        return propagation == Propagation::kGradient;
      default:
        return false;
    }
  });
}

bool masks(std::span<const ScoredMethod> methods) {
  return std::any_of(methods.begin(), methods.end(),
                     [](const ScoredMethod& method) { return method.kind == RowKind::kOcclusion; });
}

std::vector<float> one_hot(int k, int classes) {
  std::vector<float> target(static_cast<size_t>(classes));
  target.at(static_cast<size_t>(k)) = 1;
  return target;
}

// What the maps of one class are made of.
struct Sources {
  const Gradients* conservative = nullptr;
  const Gradients* gradient = nullptr;
  const Tree* drops = nullptr;
  std::vector<float> target;
};

class MapMaker {
 public:
  MapMaker(const MapContext& context, const MapInput& input)
      : context_(context),
        input_(input),
        config_(context.engine.config()),
        levels_(geometry(config_)),
        grid_(score_grid(config_)) {}

  MethodMap make(const ScoredMethod& method, const Sources& from) const {
    if (method.kind == RowKind::kTree) return tree(method, from);
    MethodMap result{map(method, from), {}};
    result.path = method.kind == RowKind::kOcclusion ? quadrants(*from.drops)
                                                     : path_of_map(result.map, levels_);
    return result;
  }

 private:
  CellMap map(const ScoredMethod& method, const Sources& from) const {
    switch (method.kind) {
      case RowKind::kRelevance:
        return levels_.size() > 1 ? relevance(*from.conservative, config_, 1)
                                  : pixel_relevance(*from.conservative, config_);
      case RowKind::kCam:
        return cam(from.conservative->final_norm, context_.head, from.target, levels_.back(),
                   config_.init_patch_embed_size);
      case RowKind::kLayerCam:
        return layer_cam(*from.gradient, config_, 1);
      case RowKind::kGradCam:
        return grad_cam(*from.gradient, config_, 1);
      case RowKind::kOcclusion:
        return leaf_map(*from.drops, levels_, config_.init_patch_embed_size, 0);
      case RowKind::kRandom:
        return random_map(grid_, context_.seed, input_.number);
      case RowKind::kCentre:
        return centre_map(grid_);
      default:
        return edge_map(grid_, input_.image, config_.in_channels);
    }
  }

  MethodMap tree(const ScoredMethod& method, const Sources& from) const {
    const Gradients& gradients =
        *(method.propagation == Propagation::kConservative ? from.conservative : from.gradient);
    std::vector<TokenScores> scores(levels_.size());
    for (size_t i = 1; i < levels_.size(); ++i) {
      const LevelGradients& level = gradients.levels[i];
      scores[i] = token_scores(method.site == Site::kInput ? level.input : level.output, levels_[i],
                               method.sign);
    }
    return {token_map(scores[1], levels_[1], config_.init_patch_embed_size),
            quadrants(build_tree(levels_, config_.init_patch_embed_size, scores))};
  }

  const MapContext& context_;
  const MapInput& input_;
  const NestConfig& config_;
  std::vector<Level> levels_;
  Grid grid_;
};

}  // namespace

std::vector<ScoredMethod> score_methods(int levels, bool variants) {
  using enum RowKind;
  std::vector<ScoredMethod> methods;
  if (levels > 1 && !variants) {
    methods.push_back({"gradcat", kTree});
    methods.push_back(
        {"gradcat, paper", kTree, Site::kOutput, Propagation::kGradient, Sign::kPaper});
    methods.push_back(
        {"gradcat, paper, ascent", kTree, Site::kOutput, Propagation::kGradient, Sign::kAscent});
  }
  if (levels > 1 && variants)
    for (const Site site : {Site::kInput, Site::kOutput})
      for (const Propagation propagation : {Propagation::kConservative, Propagation::kGradient})
        for (const Sign sign : {Sign::kAscent, Sign::kPaper})
          methods.push_back(
              {std::string("gradcat, ") + (site == Site::kInput ? "input, " : "output, ") +
                   (propagation == Propagation::kConservative ? "conservative, " : "gradient, ") +
                   (sign == Sign::kAscent ? "ascent" : "paper"),
               kTree, site, propagation, sign});
  methods.push_back({"relevance", kRelevance});
  methods.push_back({"cam", kCam});
  if (levels > 1) {
    methods.push_back({"layercam", kLayerCam});
    methods.push_back({"gradcam", kGradCam});
    methods.push_back({"occlusion", kOcclusion});
  }
  methods.push_back({kRandomRow, kRandom});
  methods.push_back({kCentreRow, kCentre});
  methods.push_back({"edges", kEdges});
  return methods;
}

std::vector<ClassMaps> method_maps(const MapContext& context, const MapInput& input,
                                   std::span<const int> classes) {
  const NestConfig& config = context.engine.config();
  const bool pixels = config.num_layers_per_block.size() == 1;
  const auto run = [&](Propagation propagation) -> std::vector<Gradients> {
    if (!uses(context.methods, propagation)) return {};
    auto result =
        context.engine.run(input.image, 1,
                           [&](int, std::span<const float> logits) {
                             std::vector<std::vector<float>> targets;
                             for (const int k : classes)
                               targets.push_back(one_hot(k, static_cast<int>(logits.size())));
                             return targets;
                           },
                           {propagation, pixels ? Depth::kPixels : Depth::kLevels});
    return std::move(result.at(0));
  };
  const std::vector<Gradients> conservative = run(Propagation::kConservative);
  const std::vector<Gradients> gradient = run(Propagation::kGradient);
  const MapMaker maker(context, input);
  std::vector<ClassMaps> result;
  for (size_t k = 0; k < classes.size(); ++k) {
    ClassMaps& maps = result.emplace_back();
    const std::vector<float> target = one_hot(classes[k], config.num_classes);
    if (!pixels && (input.drops || masks(context.methods)))
      maps.drops = occlusion_tree(context.engine, input.image, input.fill, target, true);
    const Sources from{conservative.empty() ? nullptr : &conservative[k],
                       gradient.empty() ? nullptr : &gradient[k],
                       maps.drops ? &*maps.drops : nullptr, target};
    for (const ScoredMethod& method : context.methods)
      maps.methods.push_back(maker.make(method, from));
  }
  return result;
}

double method_forwards(std::span<const ScoredMethod> methods, const std::vector<Level>& levels,
                       int classes, bool drops) {
  double forwards = 0;
  for (const Propagation propagation : {Propagation::kConservative, Propagation::kGradient})
    if (uses(methods, propagation)) forwards += 2.7 + 1.1 * (classes - 1);
  if (levels.size() > 1 && (drops || masks(methods))) {
    int nodes = 0;
    for (size_t i = 0; i + 1 < levels.size(); ++i) nodes += levels[i].blocks;
    forwards += static_cast<double>(classes) * (nodes + 1);
  }
  return forwards;
}

}  // namespace nestvit

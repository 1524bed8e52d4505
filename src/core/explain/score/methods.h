// The rows of a score table, and their maps and paths for an image: all methods from one forward
// and at most two backwards for each class.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "explain/explanation.h"
#include "explain/score/games.h"
#include "explain/tree.h"
#include "runtime/gradients.h"

namespace nestvit {

enum class RowKind {
  kTree,
  kRelevance,
  kCam,
  kLayerCam,
  kGradCam,
  kOcclusion,
  kRandom,
  kCentre,
  kEdges,
};

struct ScoredMethod {
  std::string name;
  RowKind kind = RowKind::kTree;
  // Of kTree.
  Site site = Site::kInput;
  Propagation propagation = Propagation::kConservative;
  Sign sign = Sign::kAscent;
};

inline constexpr const char* kRandomRow = "random";
inline constexpr const char* kCentreRow = "centre";

// The methods, --paper with either sign, and the controls: what a model of this many levels has.
// `variants`: the tree by every site, propagation and sign instead of --paper's.
std::vector<ScoredMethod> score_methods(int levels, bool variants = false);

// Of one method, for one class of an image. The map of a tree is level 1's, whose sums over the
// leaf blocks are the scores of the leaves; the map of occlusion is the drop of each leaf block.
struct MethodMap {
  CellMap map;
  std::vector<int> path;  // the tree's; of others that of their map (path_of_map)
};
struct ClassMaps {
  std::vector<MethodMap> methods;  // as asked for
  std::optional<Tree> drops;       // of every node masked by `fill`, where that was asked for
};

struct MapContext {
  const GradientEngine& engine;
  std::span<const float> head;  // [K, C] of the classifier
  std::vector<ScoredMethod> methods;
  uint64_t seed = 42;
};

struct MapInput {
  std::span<const float> image;  // [channels, S, S], normalised
  std::span<const float> fill;   // likewise: what masked pixels become; may be empty without masks
  uint64_t number = 0;           // of the image, for what is random
  bool drops = false;            // mask every node (the row kOcclusion does in any case)
};

// For each of `classes`; the target is the class's logit.
std::vector<ClassMaps> method_maps(const MapContext& context, const MapInput& input,
                                   std::span<const int> classes);

// How many forwards that takes, a backward counted as it costs (2.7 for one class, 1.1 for each
// further).
double method_forwards(std::span<const ScoredMethod> methods, const std::vector<Level>& levels,
                       int classes, bool drops);

}  // namespace nestvit

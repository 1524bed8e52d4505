// What a user asks to have explained, its limits, and the targets that follow from an image's
// logits.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "explain/explanation.h"
#include "explain/occlusion.h"
#include "explain/tree.h"
#include "model/nest.h"
#include "runtime/gradients.h"

namespace nestvit {

enum class ExplainMethod { kGradCat, kRelevance, kCam, kLayerCam, kGradCam, kOcclusion };
// "gradcat", "relevance", "cam", "layercam", "gradcam", "occlusion": one list.
const std::vector<std::string>& explain_method_names();

struct ExplainRequest {
  // Classes to explain; empty: the `topk` most probable, `against` left out.
  std::vector<int> classes = {};
  int topk = 1;
  std::optional<int> against = {};  // with kLogit only
  TargetKind target = TargetKind::kLogit;
  ExplainMethod method = ExplainMethod::kGradCat;
  // Of relevance, layercam and gradcam: the ConvPool whose plane is shown, 1 to L-1; unset: 1, or
  // pixels for a model of one level. kPixelLevel: the pixels (relevance only).
  std::optional<int> level = {};
  Site site = Site::kInput;
  Propagation propagation = Propagation::kConservative;
  Sign sign = Sign::kAscent;
  bool verify = false;       // masking beside each step of the path; kGradCat only
  bool occlude_all = false;  // kOcclusion: every node
  Fill fill = Fill::kMean;
};
inline constexpr int kPixelLevel = -1;

// Throws UsageError for a class or a level that the model does not have, and for what does not go
// together.
void check_request(const ExplainRequest& request, const NestConfig& config);
// Whether the method shows the plane of a ConvPool, or pixels.
bool shows_plane(ExplainMethod method);
// Which: 1 to L-1, or kPixelLevel. Throws as check_request().
int plane_of(const ExplainRequest& request, int levels);

// t [K] and its words.
struct Target {
  ExplainedTarget description;
  std::vector<float> weights;  // t
};
// Of an image with these logits [K], in the order asked for.
std::vector<Target> targets_of(const ExplainRequest& request, std::span<const float> logits,
                               const std::vector<std::string>& labels);
// The five best classes, and those that the target is about where they are not among them.
std::vector<ExplainedClass> named_classes(std::span<const float> logits, const Target& target,
                                          const std::vector<std::string>& labels);

}  // namespace nestvit

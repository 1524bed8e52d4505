// From a model and images to explanations.
//
//   const Explainer explainer(load_model("runs/pets/best"), /*threads=*/2);
//   for (const Explanation& why : explainer.explain(sample, {.topk = 2})) ...
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "explain/explanation.h"
#include "explain/occlusion.h"
#include "explain/tree.h"
#include "image/sample.h"
#include "image/transform.h"
#include "runtime/gradients.h"
#include "weights/model_dir.h"

namespace nestvit {

enum class ExplainMethod { kGradCat, kRelevance, kCam, kLayerCam, kGradCam, kOcclusion };
// "gradcat", "relevance", "cam", "layercam", "gradcam", "occlusion": one list.
const std::vector<std::string>& explain_method_names();

struct ExplainRequest {
  // Classes to explain; empty: the `topk` most probable, `against` left out.
  std::vector<int> classes;
  int topk = 1;
  std::optional<int> against;  // with kLogit only
  TargetKind target = TargetKind::kLogit;
  ExplainMethod method = ExplainMethod::kGradCat;
  // Of relevance, layercam and gradcam: the ConvPool whose plane is shown, 1 to L-1; unset: 1, or
  // pixels for a model of one level. kPixelLevel: the pixels (relevance only).
  std::optional<int> level;
  Site site = Site::kInput;
  Propagation propagation = Propagation::kConservative;
  Sign sign = Sign::kAscent;
  bool verify = false;       // masking beside each step of the path; kGradCat only
  bool occlude_all = false;  // kOcclusion: every node
  Fill fill = Fill::kMean;
};
inline constexpr int kPixelLevel = -1;

// Where a box of the input lies on the original image, clipped to it.
OriginalBox on_original(const PixelBox& box, const View& view, int height, int width);

class Explainer {
 public:
  // Throws Error for a model without a classifier. `model` is not read after construction.
  explicit Explainer(const LoadedModel& model, int threads = 0);
  ~Explainer();

  // One explanation for each class, in the order asked for. Thread-safe. Throws Error that names
  // the sample where it cannot be decoded or a logit or a score is not finite; UsageError for a
  // class or a level that the model does not have, and for what does not go together.
  std::vector<Explanation> explain(const Sample& sample, const ExplainRequest& request = {}) const;
  // The same for several images in one batch.
  std::vector<std::vector<Explanation>> explain(std::span<const Sample> samples,
                                                const ExplainRequest& request = {}) const;

  const GradientEngine& engine() const;
  // A warning to show once, or "": a group norm with one channel to a group, whose logits cannot
  // depend on the image.
  std::string warning() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestvit

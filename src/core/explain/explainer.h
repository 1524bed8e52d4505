// From a model and images to explanations.
//
//   const Explainer explainer(load_model("runs/pets/best"), /*threads=*/2);
//   for (const ExplanationRecord& why : explainer.explain(sample, {.topk = 2})) ...
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "explain/explanation.h"
#include "explain/request.h"
#include "image/sample.h"
#include "image/transform.h"
#include "runtime/gradients.h"
#include "weights/model_dir.h"

namespace nestvit {

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
  std::vector<ExplanationRecord> explain(const Sample& sample,
                                         const ExplainRequest& request = {}) const;
  // The same for several images in one batch.
  std::vector<std::vector<ExplanationRecord>> explain(std::span<const Sample> samples,
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

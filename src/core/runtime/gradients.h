// Gradients of a NesT's logits by what its forward computes: the numbers that explanations are made
// of. Always f32; no libtorch.
//
//   const GradientEngine engine(load_model("runs/pets/best"), /*threads=*/2);
//   const auto gradients = engine.run(pixels, 1, [](int, std::span<const float> logits) {
//     return std::vector<std::vector<float>>{one_hot(argmax(logits), logits.size())};
//   });
//   // gradients[0][0].levels[2].input: values and gradients at the input of level 2
//
// Shapes: T blocks, N tokens per block, C channels of a level, in block order [T, N, C]; S pixels;
// K classes.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/nest.h"
#include "weights/model_dir.h"

namespace nestvit {

// kConservative: attention's weights, a norm's deviation and GELU's gate count as constants (after
// Ali et al. 2022, arXiv 2202.07304), so that values times gradients are shares of the logit.
// kGradient: the derivative.
enum class Propagation { kConservative, kGradient };

// How far down the backward goes: to the input of level 1, which is all that the tree needs, or to
// the image.
enum class Depth { kLevels, kPixels };

// An array and the gradient of Y by it, of one image. `gradient` is empty below the depth asked
// for.
struct Activation {
  std::vector<float> values, gradient;
};

struct LevelGradients {
  // [T, N, C] before the position embedding: ConvPool's output, or the patch embedding.
  Activation input;
  Activation output;  // [T, N, C] of the level's last encoder layer
  // [side, side, C] after ConvPool's convolution and norm, before its max-pool: a plane, row by
  // row, of the side of the level below. Empty at level 0.
  Activation aggregated;
};

// Of one image and one target t [K]: Y = sum over k of t[k] * logits[k].
struct Gradients {
  std::vector<float> logits;  // [K]
  double target = 0;          // Y
  std::vector<LevelGradients> levels;
  Activation final_norm;  // [N, C] of the last level: its tokens after the final norm
  Activation pixels;      // [channels, S, S], normalised
};

struct GradientOptions {
  Propagation propagation = Propagation::kConservative;
  Depth depth = Depth::kLevels;
};

// The targets t [K] of an image, from its number in the batch and its logits [K].
using Targets =
    std::function<std::vector<std::vector<float>>(int image, std::span<const float> logits)>;

// The forward and its backward on threads of its own. Holds the packed weights twice: as the
// forward reads them, and transposed.
class GradientEngine {
 public:
  // threads 0: as many as the process may use.
  explicit GradientEngine(const LoadedModel& model, int threads = 0);
  ~GradientEngine();

  // Logits [B, K] of images [B, channels, S, S], normalised. Thread-safe: calls queue up. Throws
  // Error for a wrong size.
  std::vector<float> logits(std::span<const float> images, int batch) const;
  // One forward of the batch and a backward for each target: [image][target]. Neither the number of
  // threads nor the other images change a bit. Thread-safe. Throws Error for a wrong size, and
  // where a logit is not finite.
  std::vector<std::vector<Gradients>> run(std::span<const float> images, int batch,
                                          const Targets& targets,
                                          const GradientOptions& options = {}) const;
  const NestConfig& config() const;
  int threads() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestvit

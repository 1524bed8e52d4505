// What the target loses when a block's pixels are replaced: the causal control of the tree.
#pragma once

#include <span>
#include <vector>

#include "explain/explanation.h"
#include "model/nest.h"
#include "runtime/gradients.h"

namespace nestvit {

// What masked pixels become, normalised: the mean colour (0), a blur of the image (Gaussian, kernel
// 11, sigma 5, as RISE's), or black.
enum class Fill { kMean, kBlur, kBlack };

// The image [channels, S, S] that masked pixels are taken from. `black`: of each channel,
// normalised.
std::vector<float> substrate(std::span<const float> image, int channels, int size, Fill fill,
                             std::span<const float> black);

// For the boxes of the input: Y of the image less Y of the image with the box's pixels taken from
// `fill` [channels, S, S]. All boxes go in batches of `batch`. A box where the image equals `fill`
// drops by exactly 0.
std::vector<double> occlusion_drops(const GradientEngine& engine, std::span<const float> image,
                                    std::span<const float> fill, std::span<const float> target,
                                    std::span<const PixelBox> boxes, int batch = 8);

// The tree by masking: from the root, each node's four children are masked one by one, their drops
// are the scores, and the path goes to the largest (4 (L-1) forwards). With `all`, every node.
Tree occlusion_tree(const GradientEngine& engine, std::span<const float> image,
                    std::span<const float> fill, std::span<const float> target, bool all);

// Fills in PathStep::occlusion of each step.
void verify_path(Tree& tree, const GradientEngine& engine, std::span<const float> image,
                 std::span<const float> fill, std::span<const float> target);

}  // namespace nestvit

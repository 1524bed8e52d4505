// Heat maps of all methods, from gradients (docs/explain.md has each in two sentences). All throw
// Error where a value is not finite.
#pragma once

#include <span>
#include <vector>

#include "explain/explanation.h"
#include "explain/tree.h"
#include "runtime/gradients.h"

namespace nestvit {

// The token scores of a level as a plane [map, map].
CellMap token_map(const TokenScores& scores, const Level& level, int pixels_per_token);

// The scores of the blocks of level 0 of a tree that has them all. `magnitude`: of what each score
// is a difference of.
CellMap leaf_map(const Tree& tree, const std::vector<Level>& levels, int pixels_per_token,
                 double magnitude);

// Class activation map on the top plane: cam[n] = (1/N) sum over c of w[c] * z[n, c], where w = sum
// over k of t[k] * head row k. Its sum is Y less the head's biases, exactly. head [K, C].
CellMap cam(const Activation& final_norm, std::span<const float> head,
            std::span<const float> target, const Level& top, int pixels_per_token);

// Sum over c of values * gradients on the plane of ConvPool k (level k's aggregated), [side, side];
// with the pixels of the image, [S, S], summed over channels.
CellMap relevance(const Gradients& gradients, const NestConfig& config, int k);
CellMap pixel_relevance(const Gradients& gradients, const NestConfig& config);

// max(0, sum over c of values * max(gradients, 0)) on the same plane (Jiang et al. 2021).
CellMap layer_cam(const Gradients& gradients, const NestConfig& config, int k);
// max(0, sum over c of mean gradient of the plane * values) on the same plane (Selvaraju 2017).
CellMap grad_cam(const Gradients& gradients, const NestConfig& config, int k);

}  // namespace nestvit

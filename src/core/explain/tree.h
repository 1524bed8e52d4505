// GradCAT: the tree of a NesT's blocks, its nodes scored by values times gradients, and the path of
// best children (paper, Algorithm 1; reference.md has none: what is decided and why is in
// docs/explain.md).
#pragma once

#include <array>
#include <span>
#include <vector>

#include "explain/explanation.h"
#include "model/nest.h"
#include "runtime/gradients.h"

namespace nestvit {

// Where activations are taken: at a level's input (u), or at its output (x), as the letter of the
// paper has it.
enum class Site { kInput, kOutput };
// kAscent: + values * gradients. kPaper: minus that, as printed.
enum class Sign { kAscent, kPaper };

// h [T, N] of a level: the sum over its channels of values * gradients, and the sum of their
// magnitudes. Block order. f32 products added in f64.
struct TokenScores {
  std::vector<double> values;      // [T, N]
  std::vector<double> magnitudes;  // [T, N]
};
// Throws Error where a score is not finite.
TokenScores token_scores(const Activation& activation, const Level& level, Sign sign);

// The tree of `levels` from the scores of levels 1 to L-1 (scores[0] is not read). All nodes are
// scored, each parent's children from its own tokens; the middle row and column of a block of odd
// edge count half on both sides. The path takes the best child, the first of equal ones. A step
// whose scores are below 1e-5 of the magnitudes is undecided. Boxes on the input are filled in,
// those on the original are not.
Tree build_tree(const std::vector<Level>& levels, int pixels_per_token,
                const std::vector<TokenScores>& scores);

// The parts of build_tree(), for trees that are scored otherwise (explain/occlusion.h).
TreeNode root_node(const Level& top, int pixels_per_token);
// Adds the four children of node `parent` with these scores, shares and boxes filled in; the place
// of the first. Throws Error where a score is not finite.
int add_children(Tree& tree, int parent, const std::vector<Level>& levels, int pixels_per_token,
                 const std::array<double, 4>& scores);
// Extends the path by the best of the four siblings from `first` on; its place. `magnitude`: of
// what the scores are sums or differences of.
int choose_child(Tree& tree, int first, double magnitude);

// Whether scores, whose absolute values sum to the first number, are more than rounding of what
// they are made of.
bool is_decided(double sum_of_absolutes, double magnitude);

// The S x S input's pixels of a block.
PixelBox input_box(const Level& level, int block, int pixels_per_token);

// The place in block order [T, N] of the token at row y, column x of a level's plane.
int token_at(const Level& level, int y, int x);

}  // namespace nestvit

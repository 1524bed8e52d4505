// Whether explanations agree with what masking whole blocks costs. Of a path: the rank of its leaf
// among all leaves, and at each step whether the child chosen is the one whose masking costs most.
// Of a map: how its sums over random sets of blocks go with what these cost (muFidelity, Bhatt et
// al. 2020).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "explain/explanation.h"
#include "explain/score/games.h"
#include "model/nest.h"

namespace nestvit {

struct TreeFaithfulness {
  // The share of the other leaves whose masking costs less, equal ones counted half: 1 best, 1/2
  // for a leaf drawn at random. NaN for a tree of one node.
  double leaf_rank = 0;
  // The mean over the steps; of n children that cost most alike, each counts 1/n: a child drawn at
  // random gets 1/4. NaN without a step.
  double agreement = 0;
};

// `drops`: every node with the drop of Y as its score (occlusion_tree() with `all`). `path`: the
// quadrants from the root to a leaf.
TreeFaithfulness tree_faithfulness(const Tree& drops, std::span<const int> path);

// The path of a map without a tree: from the root, the quadrant that holds the largest sum of the
// map, the first of equal ones. Cells that lie in several blocks are split by area.
std::vector<int> path_of_map(const CellMap& map, const std::vector<Level>& levels);

// The quadrants of a tree's path.
std::vector<int> quadrants(const Tree& tree);

// The sums of a map over blocks x blocks parts of the image, row by row; cells that lie in several
// are split by area.
std::vector<double> block_sums(const CellMap& map, int blocks);

// Random sets of blocks, and the logit lost when each is replaced by the substrate. They do not
// depend on a map.
struct MaskedSets {
  std::vector<std::vector<int>> blocks;
  std::vector<double> drops;
};
struct SetOptions {
  int count = 200;
  double share = 0.2;  // of the blocks; at least one
  int batch = 8;
  uint64_t seed = 42;
  uint64_t number = 0;  // of the image
};
MaskedSets mask_sets(const GameImage& image, const Grid& blocks, const SetOptions& options,
                     const LogitsOf& logits_of);
// Spearman's correlation of the sets' sums with their drops; NaN where either is constant.
double mu_fidelity(const MaskedSets& sets, std::span<const double> block_sums);

}  // namespace nestvit

// Paths and maps against drops.
#include "explain/score/tree_faithfulness.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "metrics/similarity.h"

namespace nestvit {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

// The places of a node's children by quadrant; -1 where there is none.
std::array<int, 4> children(const Tree& tree, int node) {
  std::array<int, 4> places{-1, -1, -1, -1};
  for (int i = 0; i < std::ssize(tree.nodes); ++i)
    if (tree.nodes[i].parent == node) places[tree.nodes[i].quadrant] = i;
  return places;
}

// How much of cell k of `cells` lies in [from, to] of the axis [0, 1].
double overlap(int k, int cells, double from, double to) {
  const double left = std::max(static_cast<double>(k) / cells, from);
  const double right = std::min(static_cast<double>(k + 1) / cells, to);
  return std::max(right - left, 0.0) * cells;
}

// The sum of the map in block (y, x) of parts x parts.
double block_sum(const CellMap& map, int parts, int y, int x) {
  const double edge = 1.0 / parts;
  double sum = 0;
  for (int row = 0; row < map.rows; ++row) {
    const double share = overlap(row, map.rows, y * edge, (y + 1) * edge);
    if (share == 0) continue;
    for (int column = 0; column < map.columns; ++column)
      sum += share * overlap(column, map.columns, x * edge, (x + 1) * edge) *
             map.values[static_cast<size_t>(row) * map.columns + column];
  }
  return sum;
}

}  // namespace

TreeFaithfulness tree_faithfulness(const Tree& drops, std::span<const int> path) {
  if (path.empty()) return {kUndefined, kUndefined};
  int node = 0;
  double agreed = 0;
  for (const int quadrant : path) {
    const std::array<int, 4> places = children(drops, node);
    NESTVIT_CHECK(quadrant >= 0 && quadrant < 4 &&
                  *std::min_element(places.begin(), places.end()) >= 0);
    double most = drops.nodes[places[0]].score;
    for (const int place : places) most = std::max(most, drops.nodes[place].score);
    const auto best = std::count_if(places.begin(), places.end(),
                                    [&](int place) { return drops.nodes[place].score == most; });
    node = places[quadrant];
    if (drops.nodes[node].score == most) agreed += 1.0 / static_cast<double>(best);
  }
  const TreeNode& leaf = drops.nodes[node];
  NESTVIT_CHECK(leaf.level == 0);
  double below = 0;
  int others = -1;  // the leaf itself is none of them
  for (const TreeNode& other : drops.nodes) {
    if (other.level != 0) continue;
    ++others;
    below += other.score < leaf.score ? 1 : other.score == leaf.score ? 0.5 : 0;
  }
  return {(below - 0.5) / others, agreed / static_cast<double>(path.size())};
}

std::vector<int> path_of_map(const CellMap& map, const std::vector<Level>& levels) {
  std::vector<int> path;
  int y = 0, x = 0;
  for (size_t step = 1; step < levels.size(); ++step) {
    int best = 0;
    double most = -std::numeric_limits<double>::infinity();
    for (int quadrant = 0; quadrant < 4; ++quadrant) {
      const double sum = block_sum(map, 1 << step, 2 * y + quadrant / 2, 2 * x + quadrant % 2);
      if (sum > most) {
        most = sum;
        best = quadrant;
      }
    }
    path.push_back(best);
    y = 2 * y + best / 2;
    x = 2 * x + best % 2;
  }
  return path;
}

std::vector<int> quadrants(const Tree& tree) {
  std::vector<int> path;
  for (const PathStep& step : tree.path) path.push_back(step.quadrant);
  return path;
}

std::vector<double> block_sums(const CellMap& map, int blocks) {
  std::vector<double> sums;
  for (int y = 0; y < blocks; ++y)
    for (int x = 0; x < blocks; ++x) sums.push_back(block_sum(map, blocks, y, x));
  return sums;
}

MaskedSets mask_sets(const GameImage& image, const Grid& blocks, const SetOptions& options,
                     const LogitsOf& logits_of) {
  const auto members = static_cast<size_t>(
      std::clamp<long>(std::lround(options.share * blocks.cells()), 1, blocks.cells()));
  MaskedSets sets;
  std::vector<float> logits = logits_of(image.image, 1);
  const double whole = logits.at(static_cast<size_t>(image.target));
  const size_t classes = logits.size();
  for (int begin = 0; begin < options.count; begin += options.batch) {
    const int batch = std::min(options.batch, options.count - begin);
    std::vector<float> pictures;
    for (int i = 0; i < batch; ++i) {
      Rng rng(options.seed, Purpose::kMaskedSets, options.number, static_cast<uint64_t>(begin + i));
      std::vector<int> order(static_cast<size_t>(blocks.cells()));
      std::iota(order.begin(), order.end(), 0);
      for (size_t k = 0; k < members; ++k)
        std::swap(order[k], order[k + rng.below(order.size() - k)]);
      order.resize(members);
      std::vector<float> picture(image.image.begin(), image.image.end());
      for (const int block : order)
        copy_cell(blocks, image.channels, image.substrate, picture, block);
      pictures.insert(pictures.end(), picture.begin(), picture.end());
      sets.blocks.push_back(std::move(order));
    }
    logits = logits_of(pictures, batch);
    for (int i = 0; i < batch; ++i)
      sets.drops.push_back(whole - logits.at(i * classes + static_cast<size_t>(image.target)));
  }
  return sets;
}

double mu_fidelity(const MaskedSets& sets, std::span<const double> block_sums) {
  std::vector<double> sums;
  for (const std::vector<int>& blocks : sets.blocks) {
    double sum = 0;
    for (const int block : blocks) sum += block_sums[static_cast<size_t>(block)];
    sums.push_back(sum);
  }
  return spearman(sums, sets.drops);
}

}  // namespace nestvit

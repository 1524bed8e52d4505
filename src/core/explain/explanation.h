// An explanation as plain data: what is written as JSON and CSV (explain/json.h), drawn
// (report/explanation/card.h) and scored. One image, one class, one method. The library gives out
// an Explanation and a HeatMap of its own (nestvit/nestvit.h).
//
// Boxes are [x0, y0, x1, y1) in pixels, of the model's S x S input or of the original image as the
// model's rule decodes it.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace nestvit {

using PixelBox = std::array<double, 4>;  // x0, y0, x1, y1

// Where on the original image something of the input lies; empty where padding is all there is.
using OriginalBox = std::optional<PixelBox>;

struct ExplainedClass {
  int index = 0;
  std::string label;
  double probability = 0, logit = 0;
};

// Y = sum over k of t[k] * logits[k]. kLogit: the logit of `index`, less that of `against` where it
// is given. kLogProbability: t = one-hot less softmax.
enum class TargetKind { kLogit, kLogProbability };
struct ExplainedTarget {
  TargetKind kind = TargetKind::kLogit;
  int index = 0;
  std::string label;
  std::optional<int> against;
  std::string against_label;
  double value = 0;  // Y
};

// The scores of the tokens of a level, or of the cells of a plane, as a picture.
struct CellMap {
  int level = 0;  // -1: pixels of the input
  int rows = 0, columns = 0;
  int cell = 1;               // edge of a cell in pixels of the input
  std::vector<float> values;  // [rows, columns], row-major over the input
  bool is_signed = true;      // false: nothing is below 0
  double sum = 0, positive = 0, negative = 0;
  bool decided = true;  // false: nothing but rounding
};

// A node of the tree: a block of a level. Children are the four quadrants of its block, row by row:
// top left, top right, bottom left, bottom right.
struct TreeNode {
  int level = 0, block = 0;
  int parent = -1;    // its place in Tree::nodes; -1: the root
  int quadrant = -1;  // of its parent's block; -1: the root
  double score = 0;   // sum of the parent's token scores in the quadrant; the root: of its own
  double share = 0;   // score / sum of |score| of the four; the root: 1
  bool chosen = false;
  PixelBox input_box{};
  OriginalBox box;
};

// What masking says beside a step of the path.
struct OcclusionCheck {
  int best = 0;        // the quadrant whose masking lowers Y most
  bool agrees = true;  // with the quadrant chosen
  double drop = 0;     // of Y when the quadrant chosen is masked
};

struct PathStep {
  int level = 0;     // of the node that is left
  int quadrant = 0;  // chosen
  int node = 0;      // the child's place in Tree::nodes
  double score = 0;
  double margin = 0;  // (best - second) / sum of |score| of the four
  bool decided = true;
  std::optional<OcclusionCheck> occlusion;
};

// The root first, each node after its parent, siblings beside each other in the order of quadrants.
struct Tree {
  std::vector<TreeNode> nodes;
  std::vector<PathStep> path;  // from the root; empty for a model of one level
};

struct ExplanationRecord {
  std::string file;
  int width = 0, height = 0;  // of the original image as decoded
  bool turned = false;        // by its EXIF orientation
  OriginalBox seen;           // what the crop left
  PixelBox extent{};          // of the S x S input: beyond the image where padding is
  // The model.
  std::string variant, origin;
  int image_size = 0, levels = 0;

  std::vector<ExplainedClass> predictions;  // best first
  ExplainedTarget target;
  // As in the options: "gradcat", "input", "conservative", "ascent", ...; site, propagation and
  // sign are empty where the method has none.
  std::string method, site, propagation, sign;
  // gradcat: a map for each level from L-1 down to 1; occlusion of every node: the drops of the
  // blocks of level 0, of the path alone: none; other methods: one map.
  std::vector<CellMap> maps;
  std::optional<Tree> tree;
  // Whether the values of the first map add up to a part of Y: `explained`. The constants are Y
  // less that: biases and position embeddings.
  bool additive = false;
  double explained = 0, constants = 0;
};

}  // namespace nestvit

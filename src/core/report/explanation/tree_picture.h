// The tree of an explanation: rows of nodes from the top down.
#pragma once

#include <vector>

#include "explain/explanation.h"
#include "report/canvas.h"
#include "report/explanation/photo.h"

namespace nestvit {

// Each node is a thumbnail of its region; below it its share as a bar and a number. A row of more
// than kMostNodes nodes shows the four children of the path's node only. The path's edges are
// thick, others hairlines; a level that nothing decides is grey, and says so.
class TreePicture {
 public:
  static constexpr size_t kMostNodes = 16;

  // `why` has a tree. `photo`: of the original, scaled down or as it is. Higher than can be read
  // where `wanted_height` allows.
  TreePicture(const ExplanationRecord& why, const ScaledImage& photo, double wanted_height);

  double width() const { return width_; }
  double height() const { return height_; }
  void draw(Canvas& canvas, double x, double y) const;

 private:
  struct Row {
    std::vector<int> nodes;  // places in Tree::nodes
    int step = -1;           // of the path, that chose among them; -1: the root's row
    bool all = true;         // every node of the level that the tree has
    double edge = 0, y = 0;  // of a thumbnail
    std::vector<double> centres;
  };

  const PathStep* step_of(const Row& row) const;
  bool decided(const Row& row) const;
  double centre_of(int node) const;
  void choose_rows();
  void size_rows(double wanted_height);
  void place_nodes();
  void draw_thumbnail(Canvas& canvas, const Row& row, const TreeNode& node, int left,
                      int top) const;
  void draw_share(Canvas& canvas, const Row& row, const TreeNode& node, double left, double top,
                  bool chosen) const;
  void draw_branches(Canvas& canvas, double x, double y, bool chosen) const;
  void draw_node(Canvas& canvas, const Row& row, size_t place, double x, double y) const;
  void draw_caption(Canvas& canvas, const Row& row, double x, double y) const;

  const Tree& tree_;
  const ScaledImage& photo_;
  PixelBox extent_;  // of the input on the original
  double width_ = 0, height_ = 0;
  std::vector<Row> rows_;
};

}  // namespace nestvit

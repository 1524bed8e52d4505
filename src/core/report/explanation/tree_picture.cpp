// The tree of an explanation.
#include "report/explanation/tree_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "report/explanation/words.h"
#include "report/sheet.h"

namespace nestvit {
namespace {

constexpr Colour kFor{0.87, 0.42, 0.06}, kAgainst{0.10, 0.43, 0.80}, kHairline{0.78, 0.80, 0.84};
constexpr Colour kUndecidedBar{0.72, 0.74, 0.78};

constexpr double kCaptionWidth = 124;  // left of the rows
// Of thumbnails; multiples of the blocks of small inputs: 32, 16, 8, 4 pixels.
constexpr double kRootEdge = 96, kEdgeOfFour = 80, kEdgeOfSixteen = 40, kMostEnlarged = 1.25;
constexpr double kBranchHeight = 38, kMostBranchHeight = 90;
constexpr double kNamed = 64;  // from this edge on the quadrant is named

// Below a thumbnail.
double text_height(double edge, bool root) { return root ? 4 : edge >= kNamed ? 38 : 25; }

double gap_of(size_t nodes, double edge) { return nodes > 4 ? 5 : edge * 0.3; }

}  // namespace

TreePicture::TreePicture(const ExplanationRecord& why, const ScaledImage& photo,
                         double wanted_height)
    : tree_(why.tree.value()), photo_(photo), extent_(extent_of(why)) {
  choose_rows();
  if (rows_.empty()) return;
  size_rows(wanted_height);
  place_nodes();
}

const PathStep* TreePicture::step_of(const Row& row) const {
  return row.step < 0 ? nullptr : &tree_.path.at(static_cast<size_t>(row.step));
}

bool TreePicture::decided(const Row& row) const { return row.step < 0 || step_of(row)->decided; }

void TreePicture::choose_rows() {
  if (tree_.nodes.empty()) return;
  rows_.resize(1);
  rows_[0].nodes = {0};
  rows_[0].edge = kRootEdge;
  for (size_t step = 0; step < tree_.path.size(); ++step) {
    const TreeNode& chosen = tree_.nodes.at(static_cast<size_t>(tree_.path[step].node));
    std::vector<int> level, siblings;
    for (int i = 0; i < std::ssize(tree_.nodes); ++i) {
      const TreeNode& node = tree_.nodes[static_cast<size_t>(i)];
      if (node.level != chosen.level) continue;
      level.push_back(i);
      if (node.parent == chosen.parent) siblings.push_back(i);
    }
    Row row;
    row.step = static_cast<int>(step);
    row.all = level.size() <= kMostNodes;
    row.nodes = row.all ? level : siblings;
    row.edge = row.nodes.size() > 4 ? kEdgeOfSixteen : kEdgeOfFour;
    rows_.push_back(std::move(row));
  }
}

void TreePicture::size_rows(double wanted_height) {
  double edges = 0, texts = 0;
  for (const Row& row : rows_) {
    edges += row.edge;
    texts += text_height(row.edge, row.step < 0);
  }
  const auto branches = static_cast<double>(rows_.size() - 1);
  const double size =
      std::clamp((wanted_height - texts) / (edges + branches * kBranchHeight), 1.0, kMostEnlarged);
  const double branch = branches > 0 ? std::clamp((wanted_height - texts - size * edges) / branches,
                                                  size * kBranchHeight, kMostBranchHeight)
                                     : 0;
  for (Row& row : rows_) {
    row.y = height_;
    const double text = text_height(row.edge, row.step < 0);
    row.edge = std::round(row.edge * size);
    height_ += row.edge + text + branch;
  }
  height_ -= branch;
}

double TreePicture::centre_of(int node) const {
  for (const Row& row : rows_)
    for (size_t i = 0; i < row.centres.size(); ++i)
      if (row.nodes[i] == node) return row.centres[i];
  return -1;
}

// Nodes stand above the middle of their children where these are all shown, else the children below
// the node.
void TreePicture::place_nodes() {
  double inner = 0;
  const auto row_width = [](const Row& row) {
    const auto nodes = static_cast<double>(row.nodes.size());
    const double gap = gap_of(row.nodes.size(), row.edge);
    return nodes * row.edge + (nodes - 1) * gap + std::floor((nodes - 1) / 4) * 2 * gap;
  };
  for (const Row& row : rows_) inner = std::max(inner, row_width(row));
  size_t widest = 0;
  for (size_t r = 0; r < rows_.size(); ++r)
    if (rows_[r].nodes.size() > rows_[widest].nodes.size()) widest = r;

  const auto spread = [&](Row& row, double middle) {
    const double width = row_width(row), gap = gap_of(row.nodes.size(), row.edge);
    double x = std::clamp(middle - width / 2, 0.0, inner - width) + row.edge / 2;
    for (size_t i = 0; i < row.nodes.size(); ++i, x += row.edge + gap)
      row.centres.push_back(x += i > 0 && i % 4 == 0 ? 2 * gap : 0);
  };
  spread(rows_[widest], inner / 2);
  for (size_t r = widest; r-- > 0;)
    for (const int node : rows_[r].nodes) {
      double sum = 0, count = 0;
      for (size_t i = 0; i < rows_[r + 1].nodes.size(); ++i)
        if (tree_.nodes[static_cast<size_t>(rows_[r + 1].nodes[i])].parent == node)
          sum += rows_[r + 1].centres[i], ++count;
      rows_[r].centres.push_back(count > 0 ? sum / count : inner / 2);
    }
  for (size_t r = widest + 1; r < rows_.size(); ++r)
    spread(rows_[r], centre_of(tree_.nodes[static_cast<size_t>(rows_[r].nodes[0])].parent));

  width_ = kCaptionWidth + inner;
}

void TreePicture::draw_branches(Canvas& canvas, double x, double y, bool chosen) const {
  for (size_t r = 1; r < rows_.size(); ++r) {
    const Row &above = rows_[r - 1], &row = rows_[r];
    const double from = y + above.y + above.edge + text_height(above.edge, above.step < 0);
    for (size_t i = 0; i < row.nodes.size(); ++i) {
      const TreeNode& node = tree_.nodes[static_cast<size_t>(row.nodes[i])];
      const bool thick = decided(row) && step_of(row)->node == row.nodes[i];
      if (thick == chosen)
        canvas.branch(x + centre_of(node.parent), from, x + row.centres[i], y + row.y,
                      thick ? 4 : 0.75, thick ? kInk : kHairline);
    }
  }
}

// The region lies in the thumbnail as in the input, so that padding stays empty.
void TreePicture::draw_thumbnail(Canvas& canvas, const Row& row, const TreeNode& node, int left,
                                 int top) const {
  canvas.box(left, top, row.edge, row.edge, kTrack);
  if (!node.box) {
    canvas.font(10);
    canvas.text(left + row.edge / 2, top + row.edge / 2 + 3, canvas.fitted("padding", row.edge - 2),
                kFaint, 0.5);
    return;
  }
  // Per axis: where the node's box would begin, and pixels of the thumbnail to one of the original.
  const double input = tree_.nodes[0].input_box[2];
  const PixelBox& box = *node.box;
  std::array<int, 2> begin{}, end{};
  for (size_t axis = 0; axis < 2; ++axis) {
    const double scale = (extent_[axis + 2] - extent_[axis]) / input;
    const double origin = extent_[axis] + scale * node.input_box[axis];
    const double enlarged = row.edge / (scale * (node.input_box[axis + 2] - node.input_box[axis]));
    const auto at = [&](double original) {
      return static_cast<int>(
          std::lround(std::clamp((original - origin) * enlarged, 0.0, row.edge)));
    };
    begin.at(axis) = std::min(at(box[axis]), static_cast<int>(row.edge) - 1);
    end.at(axis) = std::max(at(box[axis + 2]), begin.at(axis) + 1);
  }
  Image thumbnail = region_of(photo_, box, end[1] - begin[1], end[0] - begin[0]);
  if (!decided(row)) {
    turn_grey(thumbnail);
    fade_image(thumbnail);
  }
  canvas.pixels(thumbnail, left + begin[0], top + begin[1]);
}

void TreePicture::draw_share(Canvas& canvas, const Row& row, const TreeNode& node, double left,
                             double top, bool chosen) const {
  const double edge = row.edge;
  const double bar = edge * std::clamp(std::abs(node.share), 0.0, 1.0);
  const Colour shade = !decided(row) ? kUndecidedBar : node.share < 0 ? kAgainst : kFor;
  canvas.rounded_box(left, top + 5, edge, 6, 3, kTrack);
  if (bar > 0) canvas.rounded_box(left, top + 5, std::max(bar, 2.0), 6, 3, shade);
  const bool strong = chosen && decided(row);
  const std::string number = share_words(node.share);
  double size = edge >= kNamed ? 12 : 10.5;
  canvas.font(size, strong);
  if (const double wide = canvas.text_width(number); wide > edge + 4) size *= (edge + 4) / wide;
  canvas.font(size, strong);
  canvas.text(left + edge / 2, top + 23, number, strong ? kInk : kFaint, 0.5);
  if (edge < kNamed) return;
  canvas.font(10.5);
  canvas.text(left + edge / 2, top + 35, canvas.fitted(quadrant_name(node.quadrant), edge), kFaint,
              0.5);
}

void TreePicture::draw_node(Canvas& canvas, const Row& row, size_t place, double x,
                            double y) const {
  const TreeNode& node = tree_.nodes[static_cast<size_t>(row.nodes[place])];
  const bool chosen = row.step >= 0 && step_of(row)->node == row.nodes[place];
  const double left = std::round(x + row.centres[place] - row.edge / 2);
  const double top = std::round(y + row.y);
  draw_thumbnail(canvas, row, node, static_cast<int>(left), static_cast<int>(top));
  if (chosen && decided(row))
    canvas.frame(left - 1.5, top - 1.5, row.edge + 3, row.edge + 3, 3, kInk);
  else
    canvas.frame(left - 0.5, top - 0.5, row.edge + 1, row.edge + 1, 1, kHairline);
  if (chosen)
    draw_badge(canvas, row.step + 1, left, top, row.edge >= kNamed ? 10 : 8, decided(row));
  if (row.step >= 0) draw_share(canvas, row, node, left, top + row.edge, chosen);
}

void TreePicture::draw_caption(Canvas& canvas, const Row& row, double x, double y) const {
  const double room = kCaptionWidth - 12;
  const TreeNode& node = tree_.nodes[static_cast<size_t>(row.nodes[0])];
  const auto line = [&](const std::string& text, double size, bool bold, Colour c) {
    canvas.font(size, bold);
    canvas.text(x, y, canvas.fitted(text, room), c);
    y += 16;
  };
  const int parts = 1 << (2 * std::max(0, row.step + 1));
  const std::string name = row.step < 0  ? "Whole view"
                           : parts == 4  ? "Quarters"
                           : parts == 16 ? "Sixteenths"
                           : parts == 64 ? "64ths"
                                         : fmt::format("1/{}", parts);
  y += 12;
  line(name, 13, true, kInk);
  line(fmt::format("{0:g} × {0:g} px", node.input_box[2] - node.input_box[0]), 11, false, kFaint);
  const PathStep* const step = step_of(row);
  if (!step) return;
  if (!row.all) line("of the node above", 11, false, kFaint);
  if (!step->decided) line("undecided", 12, true, kFaint);
  if (!step->occlusion) return;
  line(step->occlusion->agrees ? "✓ masking agrees" : "✗ masking says", 11, false, kFaint);
  if (!step->occlusion->agrees) line(quadrant_name(step->occlusion->best), 11, false, kFaint);
}

void TreePicture::draw(Canvas& canvas, double x, double y) const {
  const double inner = x + kCaptionWidth;
  for (const bool chosen : {false, true}) draw_branches(canvas, inner, y, chosen);
  for (const Row& row : rows_) {
    draw_caption(canvas, row, x, y + row.y);
    for (size_t i = 0; i < row.nodes.size(); ++i) draw_node(canvas, row, i, inner, y);
  }
}

}  // namespace nestvit

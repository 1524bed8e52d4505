// The tree of an explanation.
#include "report/explanation/tree_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "report/explanation/words.h"
#include "report/sheet.h"

namespace nestvit {
namespace {

constexpr Colour kFor{0.87, 0.42, 0.06}, kAgainst{0.10, 0.43, 0.80}, kHairline{0.78, 0.80, 0.84};
constexpr Colour kUndecidedBar{0.72, 0.74, 0.78};

constexpr double kCaptionWidth = 132;  // left of the rows
constexpr double kRootEdge = 96, kEdgeOfFour = 84, kEdgeOfSixteen = 42;
constexpr double kBranchHeight = 38;
constexpr double kNamed = 64;  // from this edge on the quadrant is named

// Below a thumbnail.
double text_height(double edge, bool root) { return root ? 4 : edge >= kNamed ? 38 : 25; }

double gap_of(size_t nodes, double edge) { return nodes > 4 ? 5 : edge * 0.3; }

}  // namespace

TreePicture::TreePicture(const Tree& tree, const ScaledImage& photo, double size)
    : tree_(tree), photo_(photo), size_(size) {
  choose_rows();
  place_rows();
}

const PathStep* TreePicture::step_of(const Row& row) const {
  return row.step < 0 ? nullptr : &tree_.path.at(static_cast<size_t>(row.step));
}

bool TreePicture::decided(const Row& row) const { return row.step < 0 || step_of(row)->decided; }

void TreePicture::choose_rows() {
  if (tree_.nodes.empty()) return;
  rows_.resize(1);
  rows_[0].nodes = {0};
  rows_[0].edge = kRootEdge * size_;
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
    row.edge = (row.nodes.size() > 4 ? kEdgeOfSixteen : kEdgeOfFour) * size_;
    rows_.push_back(std::move(row));
  }
}

double TreePicture::centre_of(int node) const {
  for (const Row& row : rows_)
    for (size_t i = 0; i < row.centres.size(); ++i)
      if (row.nodes[i] == node) return row.centres[i];
  return -1;
}

// Nodes stand above the middle of their children where these are all shown, else the children below
// the node.
void TreePicture::place_rows() {
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
  if (!rows_.empty()) spread(rows_[widest], inner / 2);
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

  double y = 0;
  for (Row& row : rows_) {
    row.y = y;
    y += row.edge + text_height(row.edge, row.step < 0) + kBranchHeight * size_;
  }
  height_ = rows_.empty() ? 0 : y - kBranchHeight * size_;
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

void TreePicture::draw_node(Canvas& canvas, const Row& row, size_t place, double x,
                            double y) const {
  const TreeNode& node = tree_.nodes[static_cast<size_t>(row.nodes[place])];
  const bool is_decided = decided(row);
  const bool chosen = row.step >= 0 && step_of(row)->node == row.nodes[place];
  const double edge = std::round(row.edge);
  const double left = std::round(x + row.centres[place] - edge / 2), top = std::round(y + row.y);
  canvas.box(left, top, edge, edge, kTrack);
  Image thumbnail = region_of(photo_, node.box, static_cast<int>(edge));
  if (!is_decided) {
    turn_grey(thumbnail);
    fade_image(thumbnail);
  }
  canvas.pixels(thumbnail, static_cast<int>(left + std::floor((edge - thumbnail.width) / 2)),
                static_cast<int>(top + std::floor((edge - thumbnail.height) / 2)));
  if (!node.box) {
    canvas.font(10);
    canvas.text(left + edge / 2, top + edge / 2 + 3, canvas.fitted("padding", edge - 2), kFaint,
                0.5);
  }
  if (chosen && is_decided)
    canvas.frame(left - 1.5, top - 1.5, edge + 3, edge + 3, 3, kInk);
  else
    canvas.frame(left - 0.5, top - 0.5, edge + 1, edge + 1, 1, kHairline);
  if (chosen) draw_badge(canvas, row.step + 1, left, top, edge >= kNamed ? 10 : 8, is_decided);
  if (row.step < 0) return;

  const double bar = edge * std::clamp(std::abs(node.share), 0.0, 1.0);
  const Colour shade = !is_decided ? kUndecidedBar : node.share < 0 ? kAgainst : kFor;
  canvas.rounded_box(left, top + edge + 5, edge, 6, 3, kTrack);
  if (bar > 0) canvas.rounded_box(left, top + edge + 5, std::max(bar, 2.0), 6, 3, shade);
  const bool strong = chosen && is_decided;
  const std::string number = share_words(node.share);
  double size = edge >= kNamed ? 12 : 10.5;
  canvas.font(size, strong);
  if (const double wide = canvas.text_width(number); wide > edge + 4) size *= (edge + 4) / wide;
  canvas.font(size, strong);
  canvas.text(left + edge / 2, top + edge + 23, number, strong ? kInk : kFaint, 0.5);
  if (edge < kNamed) return;
  canvas.font(10.5);
  canvas.text(left + edge / 2, top + edge + 35, canvas.fitted(quadrant_name(node.quadrant), edge),
              kFaint, 0.5);
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
  const std::string name = row.step < 0  ? "The model's view"
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

// Masks blocks and looks at what the target loses.
#include "explain/occlusion.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "explain/tree.h"

namespace nestvit {
namespace {

// RISE's kernel along one axis: scipy's gaussian_filter (reflecting, cut at 4 sigma) of a 1 amid
// kKernel numbers. What the filter spreads beyond them comes back from the ends.
constexpr int kKernel = 11;
std::array<double, kKernel> blur_kernel() {
  constexpr double kSigma = 5;
  constexpr int kReach = 20, kCentre = kKernel / 2;
  std::array<double, kKernel> kernel{};
  double sum = 0;
  for (int d = -kReach; d <= kReach; ++d) {
    int at = (kCentre + d) % (2 * kKernel);
    if (at < 0) at += 2 * kKernel;
    if (at >= kKernel) at = 2 * kKernel - 1 - at;
    const double weight = std::exp(-0.5 * d * d / (kSigma * kSigma));
    kernel[static_cast<size_t>(at)] += weight;
    sum += weight;
  }
  for (double& weight : kernel) weight /= sum;
  return kernel;
}

// One channel [size, size]; outside it is 0, the mean colour.
void blur(std::span<const float> from, int size, std::span<float> to) {
  static const std::array<double, kKernel> kernel = blur_kernel();
  const auto side = static_cast<size_t>(size);
  std::vector<double> rows(side * side);
  const auto pass = [&](const auto& read, size_t step, size_t line, const auto& write) {
    for (size_t other = 0; other < side; ++other)
      for (int at = 0; at < size; ++at) {
        double sum = 0;
        for (int k = 0; k < kKernel; ++k) {
          const int source = at + k - kKernel / 2;
          if (source >= 0 && source < size)
            sum += kernel[static_cast<size_t>(k)] * read[other * line + source * step];
        }
        write(other * line + static_cast<size_t>(at) * step, sum);
      }
  };
  pass(from, 1, side, [&](size_t at, double value) { rows[at] = value; });
  pass(rows, side, 1, [&](size_t at, double value) { to[at] = static_cast<float>(value); });
}

// Masked copies of one image and their targets.
class Masking {
 public:
  Masking(const GradientEngine& engine, std::span<const float> image, std::span<const float> fill,
          std::span<const float> target)
      : engine_(engine),
        image_(image),
        fill_(fill),
        target_(target),
        size_(engine.config().image_size) {
    const NestConfig& config = engine.config();
    const auto pixels = static_cast<size_t>(config.in_channels) * size_ * size_;
    NESTVIT_CHECK(image.size() == pixels && fill.size() == pixels &&
                  target.size() == static_cast<size_t>(config.num_classes));
    whole_ = targets(image, 1).front();
  }

  double whole() const { return whole_; }

  std::vector<double> drops(std::span<const PixelBox> boxes, int batch) const {
    NESTVIT_CHECK(batch > 0);
    std::vector<double> result;
    std::vector<float> masked;
    for (size_t first = 0; first < boxes.size(); first += static_cast<size_t>(batch)) {
      const size_t count = std::min(boxes.size() - first, static_cast<size_t>(batch));
      masked.clear();
      for (size_t i = 0; i < count; ++i) append_masked(boxes[first + i], masked);
      for (const double target : targets(masked, static_cast<int>(count)))
        result.push_back(whole_ - target);
    }
    return result;
  }

 private:
  void append_masked(const PixelBox& box, std::vector<float>& images) const {
    const size_t begin = images.size();
    images.insert(images.end(), image_.begin(), image_.end());
    const auto edge = [&](double at) {
      return static_cast<size_t>(std::clamp<long>(std::lround(at), 0, size_));
    };
    const size_t side = static_cast<size_t>(size_), rows = image_.size() / side;
    const size_t left = edge(box[0]), right = std::max(edge(box[2]), left);
    for (size_t row = 0; row < rows; ++row) {
      const size_t y = row % side;
      if (y < edge(box[1]) || y >= edge(box[3])) continue;
      std::copy_n(&fill_[0] + row * side + left, right - left,
                  images.data() + begin + row * side + left);
    }
  }

  std::vector<double> targets(std::span<const float> images, int batch) const {
    const std::vector<float> logits = engine_.logits(images, batch);
    std::vector<double> result(static_cast<size_t>(batch));
    for (size_t i = 0; i < logits.size(); ++i)
      result[i / target_.size()] += static_cast<double>(target_[i % target_.size()]) * logits[i];
    return result;
  }

  const GradientEngine& engine_;
  std::span<const float> image_, fill_, target_;
  int size_;
  double whole_ = 0;
};

// The boxes of the four children of each of the `parents`, in their order.
std::vector<PixelBox> children_boxes(const Tree& tree, std::span<const int> parents,
                                     const std::vector<Level>& levels, int pixels_per_token) {
  std::vector<PixelBox> boxes;
  for (const int parent : parents) {
    Tree scratch;
    scratch.nodes.push_back(tree.nodes[static_cast<size_t>(parent)]);
    add_children(scratch, 0, levels, pixels_per_token, {});
    for (size_t k = 1; k < scratch.nodes.size(); ++k) boxes.push_back(scratch.nodes[k].input_box);
  }
  return boxes;
}

constexpr int kBatch = 8;

}  // namespace

std::vector<float> substrate(std::span<const float> image, int channels, int size, Fill fill,
                             std::span<const float> black) {
  const size_t plane = static_cast<size_t>(size) * size;
  NESTVIT_CHECK(image.size() == plane * channels);
  std::vector<float> result(image.size());
  if (fill == Fill::kMean) return result;
  NESTVIT_CHECK(fill != Fill::kBlack || black.size() == static_cast<size_t>(channels));
  for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
    const std::span<float> to(&result[c * plane], plane);
    if (fill == Fill::kBlack)
      std::fill(to.begin(), to.end(), black[c]);
    else
      blur(image.subspan(c * plane, plane), size, to);
  }
  return result;
}

std::vector<double> occlusion_drops(const GradientEngine& engine, std::span<const float> image,
                                    std::span<const float> fill, std::span<const float> target,
                                    std::span<const PixelBox> boxes, int batch) {
  return Masking(engine, image, fill, target).drops(boxes, batch);
}

Tree occlusion_tree(const GradientEngine& engine, std::span<const float> image,
                    std::span<const float> fill, std::span<const float> target, bool all) {
  const std::vector<Level> levels = geometry(engine.config());
  const int token = engine.config().init_patch_embed_size;
  const Masking masking(engine, image, fill, target);
  Tree tree;
  tree.nodes.push_back(root_node(levels.back(), token));
  std::vector<int> parents = {0};
  int chosen = 0;
  for (size_t level = levels.size() - 1; level > 0; --level) {
    const std::vector<double> drops =
        masking.drops(children_boxes(tree, parents, levels, token), kBatch);
    std::vector<int> next;
    int next_chosen = chosen;
    for (size_t i = 0; i < parents.size(); ++i) {
      const double* four = &drops[4 * i];
      const int first =
          add_children(tree, parents[i], levels, token, {four[0], four[1], four[2], four[3]});
      if (parents[i] == chosen)
        // A drop is the difference of two targets: below their rounding it says nothing.
        next_chosen = choose_child(tree, first, 4 * std::abs(masking.whole()));
      for (int k = 0; k < 4; ++k) next.push_back(first + k);
    }
    chosen = next_chosen;
    parents = all ? next : std::vector{chosen};
  }
  return tree;
}

void verify_path(Tree& tree, const GradientEngine& engine, std::span<const float> image,
                 std::span<const float> fill, std::span<const float> target) {
  std::vector<PixelBox> boxes;
  for (const PathStep& step : tree.path)
    for (int k = 0; k < 4; ++k)
      boxes.push_back(tree.nodes[static_cast<size_t>(step.node - step.quadrant + k)].input_box);
  if (boxes.empty()) return;
  const std::vector<double> drops = Masking(engine, image, fill, target).drops(boxes, kBatch);
  for (size_t i = 0; i < tree.path.size(); ++i) {
    PathStep& step = tree.path[i];
    const auto four = drops.begin() + static_cast<std::ptrdiff_t>(4 * i);
    OcclusionCheck check;
    check.best = static_cast<int>(std::max_element(four, four + 4) - four);
    check.agrees = check.best == step.quadrant;
    check.drop = four[step.quadrant];
    step.occlusion = check;
  }
}

}  // namespace nestvit

// Heat maps and masks against pytorch-grad-cam, captum and RISE (tools/goldens/explain_peers.py).
#include <gtest/gtest.h>

#include <algorithm>

#include "core/explain/golden_case.h"
#include "explain/maps.h"
#include "explain/occlusion.h"
#include "support/near.h"

namespace nestvit {
namespace {

using testing::expect_near;
using testing::GoldenCase;

// Of the largest entry: sums of products that the forward and the backward rounded to f32.
constexpr double kTolerance = 2e-5;

std::filesystem::path root() { return testing::golden_root_with("explain/peers/maps.safetensors"); }

std::vector<float> one_hot(int64_t index, int classes) {
  std::vector<float> target(static_cast<size_t>(classes));
  target.at(static_cast<size_t>(index)) = 1;
  return target;
}

// Entry b of [B, ...].
std::vector<float> of_image(const Tensor& tensor, int b) {
  const std::vector<float> all = tensor.to_f32();
  const auto size = static_cast<std::ptrdiff_t>(all.size()) / tensor.dim(0);
  return {all.begin() + b * size, all.begin() + (b + 1) * size};
}

// `theirs` are before the cut at 0; where nothing is above it, nothing of ours may be.
void expect_cut(const CellMap& map, std::vector<float> theirs, const std::string& what) {
  for (float& value : theirs) value = std::max(value, 0.0f);
  if (*std::max_element(theirs.begin(), theirs.end()) == 0)
    EXPECT_EQ(map.values, theirs) << what;
  else
    expect_near(map.values, theirs, kTolerance, what);
}

struct Peers {
  std::filesystem::path folder;
  std::string name;
  GoldenCase golden;
  std::vector<float> target_of(int b) const {
    const TensorMap arrays = read_safetensors(folder / "explain.safetensors");
    const Tensor& classes = find_tensor(arrays, "explain_class", folder.string());
    return one_hot(classes.as<int64_t>()[static_cast<size_t>(b)], golden.model.config.num_classes);
  }
};

// The networks that the peers explained.
std::vector<Peers> all_peers() {
  std::vector<Peers> all;
  for (const auto& entry : std::filesystem::directory_iterator(root() / "explain/timm"))
    all.push_back(
        {entry.path(), entry.path().filename().string(), testing::golden_case(entry.path())});
  return all;
}

#define SKIP_WITHOUT_PEERS()                                               \
  if (!std::filesystem::exists(root() / "explain/peers/maps.safetensors")) \
  GTEST_SKIP() << root() / "explain/peers"                                 \
               << " does not exist: there is nothing to compare"

TEST(MapsGolden, EqualPytorchGradCam) {
  SKIP_WITHOUT_PEERS();
  const TensorMap maps = read_safetensors(root() / "explain/peers/maps.safetensors");
  int compared = 0;
  for (const Peers& peers : all_peers()) {
    const NestConfig& config = peers.golden.model.config;
    const GradientEngine engine(peers.golden.model, 1);
    const auto gradients = engine.run(peers.golden.images, peers.golden.batch,
                                      [&](int b, std::span<const float>) {
                                        return std::vector<std::vector<float>>{peers.target_of(b)};
                                      },
                                      {.propagation = Propagation::kGradient});
    for (int b = 0; b < peers.golden.batch; ++b)
      for (int k = 1; k < std::ssize(config.num_layers_per_block); ++k) {
        const Gradients& image = gradients.at(static_cast<size_t>(b)).at(0);
        const auto theirs = [&](const std::string& method) {
          const std::string key =
              peers.name + "/" + method + "/level_" + std::to_string(k) + "/aggregated";
          return of_image(find_tensor(maps, key, "maps.safetensors"), b);
        };
        const std::string what = peers.name + " level " + std::to_string(k);
        expect_cut(grad_cam(image, config, k), theirs("gradcam"), what + " gradcam");
        expect_cut(layer_cam(image, config, k), theirs("layercam"), what + " layercam");
        expect_near(relevance(image, config, k).values, theirs("hirescam"), kTolerance,
                    what + " relevance by gradients");
        ++compared;
      }
  }
  EXPECT_GT(compared, 0);
}

TEST(OcclusionGolden, EqualsCaptum) {
  SKIP_WITHOUT_PEERS();
  const TensorMap maps = read_safetensors(root() / "explain/peers/maps.safetensors");
  int compared = 0;
  for (const Peers& peers : all_peers()) {
    const GradientEngine engine(peers.golden.model, 1);
    const std::vector<Level> levels = geometry(peers.golden.model.config);
    const size_t pixels = peers.golden.images.size() / static_cast<size_t>(peers.golden.batch);
    for (int b = 0; b < peers.golden.batch; ++b) {
      const auto image = std::span<const float>(peers.golden.images).subspan(b * pixels, pixels);
      const std::vector<float> fill(pixels);
      const Tree tree = occlusion_tree(engine, image, fill, peers.target_of(b), true);
      float largest = 0;
      for (const float logit : engine.logits(image, 1))
        largest = std::max(largest, std::abs(logit));
      for (size_t i = 0; i + 1 < levels.size(); ++i) {
        std::vector<double> drops(static_cast<size_t>(levels[i].blocks));
        for (const TreeNode& node : tree.nodes)
          if (node.level == static_cast<int>(i))
            drops[static_cast<size_t>(node.block)] = node.score;
        const std::string key = peers.name + "/occlusion/level_" + std::to_string(i);
        // A drop is a difference of two logits, each rounded to f32 many times.
        expect_near(drops, of_image(find_tensor(maps, key, "maps.safetensors"), b), 0, key,
                    kTolerance * largest);
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 0);
}

TEST(SubstrateGolden, BlursAsRise) {
  SKIP_WITHOUT_PEERS();
  const TensorMap curves = read_safetensors(root() / "explain/peers/curves.safetensors");
  const GoldenCase golden = testing::golden_case(root() / "explain/timm/nest_tiny_jx");
  const int size = golden.model.config.image_size;
  const auto image = std::span<const float>(golden.images).first(size_t{3} * size * size);
  expect_near(substrate(image, 3, size, Fill::kBlur, {}),
              find_tensor(curves, "blurred", "curves.safetensors").to_f32(), 1e-6, "blurred");
}

}  // namespace
}  // namespace nestvit

// Gradients against those of the official Flax models and of timm: of a class's logit at every
// level, as the cases hold them, plain (io, explain) and conservative (explain_relevance).
#include <gtest/gtest.h>

#include <string>

#include "runtime/gradients.h"
#include "support/golden_model.h"
#include "support/near.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using testing::expect_near;
using Floats = std::vector<float>;

constexpr double kForward = 2e-5;   // as in forward_test.cpp
constexpr double kGradient = 1e-5;  // as in gradients_test.cpp

// [B, H, W, C] -> [B, C, H, W]
Floats to_nchw(const Tensor& nhwc) {
  const int64_t B = nhwc.dim(0), pixels = nhwc.dim(1) * nhwc.dim(2), C = nhwc.dim(3);
  const auto in = nhwc.to_f32();
  Floats out(in.size());
  for (int64_t b = 0; b < B; ++b)
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < C; ++c) out[(b * C + c) * pixels + p] = in[(b * pixels + p) * C + c];
  return out;
}

// A plane [side, side, C], of blocks of `edge`, -> [T, N, C] (edge = side: as it is).
Floats to_blocks(const Floats& nchw, int64_t B, int64_t C, int64_t side, int64_t edge) {
  const int64_t grid = side / edge;
  Floats out(nchw.size());
  for (int64_t b = 0; b < B; ++b)
    for (int64_t y = 0; y < side; ++y)
      for (int64_t x = 0; x < side; ++x) {
        const int64_t t = y / edge * grid + x / edge, n = y % edge * edge + x % edge;
        for (int64_t c = 0; c < C; ++c)
          out[((b * grid * grid + t) * edge * edge + n) * C + c] =
              nchw[((b * C + c) * side + y) * side + x];
      }
  return out;
}

class Comparison {
 public:
  Comparison(const LoadedModel& model, const Floats& input, const Floats& classes)
      : levels_(geometry(model.config)), batch_(static_cast<int>(classes.size())) {
    const GradientEngine engine(model, 2);
    const Targets targets = [&](int b, std::span<const float> logits) {
      Floats target(logits.size());
      target[static_cast<size_t>(classes[b])] = 1;
      return std::vector<Floats>{target};
    };
    for (auto& image : engine.run(input, batch_, targets, {Propagation::kGradient, Depth::kPixels}))
      plain_.push_back(std::move(image.at(0)));
    for (auto& image :
         engine.run(input, batch_, targets, {Propagation::kConservative, Depth::kPixels}))
      conservative_.push_back(std::move(image.at(0)));
  }

  // Compares whatever of a file it knows by name. Names end with `suffix`.
  void with(const TensorMap& tensors, const std::string& suffix) {
    gradients(tensors, "", suffix, plain_);
    gradients(tensors, "relevance/", suffix, conservative_);
    values(tensors, suffix);
  }
  int gradients_compared() const { return compared_; }

 private:
  using Place = std::function<const Floats&(const Gradients&)>;

  void gradients(const TensorMap& tensors, const std::string& prefix, const std::string& suffix,
                 const std::vector<Gradients>& got) {
    for (size_t i = 0; i < levels_.size(); ++i) {
      const std::string level = prefix + "level_" + std::to_string(i) + "/";
      const auto at = [i](const Gradients& g) -> const LevelGradients& { return g.levels[i]; };
      const int edge = levels_[i].edge;
      compared_ += one(
                       tensors, level + "grad_of_class_logit" + suffix, kGradient, got,
                       edge, [&](const Gradients& g) -> auto& { return at(g).output.gradient; }) +
                   one(
                       tensors, level + "grad_at_input" + suffix, kGradient, got,
                       edge, [&](const Gradients& g) -> auto& { return at(g).input.gradient; }) +
                   one(
                       tensors, level + "grad_of_aggregated" + suffix, kGradient, got,
                       0, [&](const Gradients& g) -> auto& { return at(g).aggregated.gradient; });
    }
    compared_ += one(
        tensors, prefix + "grad_of_final_norm" + suffix, kGradient, got, levels_.back().edge,
        [](const Gradients& g) -> auto& { return g.final_norm.gradient; });
    const auto pixels = tensors.find(prefix + "input_grad_of_logit");
    if (pixels == tensors.end()) return;
    const Floats wanted = suffix.empty() ? to_nchw(pixels->second) : pixels->second.to_f32();
    expect_near(joined(
                    got, [](const Gradients& g) -> auto& { return g.pixels.gradient; }),
                wanted, kGradient, pixels->first);
    ++compared_;
  }

  void values(const TensorMap& tensors, const std::string& suffix) {
    for (size_t i = 0; i < levels_.size(); ++i) {
      const std::string level = "level_" + std::to_string(i) + "/";
      const int edge = levels_[i].edge;
      one(
          tensors, level + "output" + suffix, kForward, plain_,
          edge, [&](const Gradients& g) -> auto& { return g.levels[i].output.values; });
      one(
          tensors, level + "input" + suffix, kForward, plain_,
          edge, [&](const Gradients& g) -> auto& { return g.levels[i].input.values; });
      one(
          tensors, level + "aggregated" + suffix, kForward, plain_,
          0, [&](const Gradients& g) -> auto& { return g.levels[i].aggregated.values; });
      if (i + 1 < levels_.size())
        one(
            tensors, level + "conv_pool_output" + suffix, kForward, plain_,
            edge, [&](const Gradients& g) -> auto& { return g.levels[i + 1].input.values; });
    }
    one(
        tensors, "final_norm" + suffix, kForward, plain_, levels_.back().edge,
        [](const Gradients& g) -> auto& { return g.final_norm.values; });
  }

  static Floats joined(const std::vector<Gradients>& got, const Place& place) {
    Floats all;
    for (const Gradients& image : got)
      all.insert(all.end(), place(image).begin(), place(image).end());
    return all;
  }

  // Whether the file has the array. `edge` 0: a plane, which is not cut into blocks.
  int one(const TensorMap& tensors, const std::string& name, double tolerance,
          const std::vector<Gradients>& got, int edge, const Place& place) const {
    const auto found = tensors.find(name);
    if (found == tensors.end()) return 0;
    const Tensor& tensor = found->second;
    Floats wanted = tensor.to_f32();
    if (name.ends_with("_nchw"))
      wanted = to_blocks(wanted, batch_, tensor.dim(1), tensor.dim(2), edge ? edge : tensor.dim(2));
    expect_near(joined(got, place), wanted, tolerance, name);
    return 1;
  }

  const std::vector<Level> levels_;
  const int batch_;
  std::vector<Gradients> plain_, conservative_;
  int compared_ = 0;
};

void compare_files(Comparison& comparison, const fs::path& folder, const std::string& suffix) {
  for (const char* file :
       {"io.safetensors", "explain.safetensors", "explain_relevance.safetensors"})
    if (fs::exists(folder / file)) comparison.with(read_safetensors(folder / file), suffix);
}

// Logits of a group norm with one channel to a group do not depend on the image: the case's
// gradients are pure rounding.
bool is_degenerate(const NestConfig& config) {
  if (config.norm_type != Norm::kGroup) return false;
  for (const Level& level : geometry(config))
    if (level.width == kGroupNormGroups) return true;
  return false;
}

TEST(GradientsGolden, EqualFlax) {
  int cases = 0;
  for (const fs::path& folder : testing::golden_cases("flax", "io.safetensors")) {
    SCOPED_TRACE(folder.string());
    const LoadedModel model = testing::golden_flax_model(folder);
    const TensorMap io = read_safetensors(folder / "io.safetensors");
    if (is_degenerate(model.config) || !io.contains("explain_class")) continue;
    Comparison comparison(model, to_nchw(io.at("input")), io.at("explain_class").to_f32());
    compare_files(comparison, folder, "");
    EXPECT_GT(comparison.gradients_compared(), 0);
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

TEST(GradientsGolden, EqualTimm) {
  const TensorMap io = read_safetensors(testing::golden_root() / "timm" / "io.safetensors");
  for (const fs::path& folder : testing::golden_cases("timm", "config.json")) {
    SCOPED_TRACE(folder.string());
    const LoadedModel model = load_model(folder);
    TensorMap own;  // without the model's name
    const std::string prefix = model.config.variant + "/";
    for (const auto& [name, tensor] : io)
      if (name.starts_with(prefix)) own[name.substr(prefix.size())] = tensor;
    Comparison comparison(model, io.at("input").to_f32(), io.at("explain_class").to_f32());
    comparison.with(own, "_nchw");
    EXPECT_GT(comparison.gradients_compared(), 0);
  }
}

// Cases with every array, plain and conservative.
TEST(GradientsGolden, EqualTimmEverywhere) {
  const fs::path root = testing::golden_root_with("explain/timm") / "explain" / "timm";
  int cases = 0;
  if (fs::is_directory(root))
    for (const auto& entry : fs::directory_iterator(root)) {
      SCOPED_TRACE(entry.path().string());
      const TensorMap explain = read_safetensors(entry.path() / "explain.safetensors");
      Comparison comparison(load_model(entry.path()), explain.at("input").to_f32(),
                            explain.at("explain_class").to_f32());
      compare_files(comparison, entry.path(), "_nchw");
      EXPECT_GT(comparison.gradients_compared(), 0);
      ++cases;
    }
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace nestvit

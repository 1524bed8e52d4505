// The weights of the fast forward, packed once when a model is loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/inference.h"
#include "model/nest.h"
#include "runtime/plan.h"
#include "weights/model_dir.h"

namespace nestvit {

// What the products of a forward round their operands to; their sums, and all else, are f32.
enum class Precision { kF32, kBf16 };

// y [m, n] = x [m, k] W^T + b, on the calling thread; its weight in panels of the kernels'.
class PanelLinear {
 public:
  // `taps`: where the parts of a row of x begin, all of the same width; {0} for a linear layer.
  // Stays f32 where the width of a part is odd.
  // Packs with the calling thread's OpenMP team.
  PanelLinear(std::span<const float> weight, std::span<const float> bias, int64_t n,
              Precision precision = Precision::kF32, std::vector<int64_t> taps = {0});

  // Rows of x are `lda` apart and of y `ldc`. With `add`, y += x W^T + b. In bf16, x is of pairs
  // that rounded() made.
  void operator()(const float* x, int64_t lda, int64_t m, float* y, int64_t ldc,
                  bool add = false) const;
  // x [count], whole rows, as operator() wants it: itself, or rounded into `pairs` of half as many.
  const float* rounded(const float* x, int64_t count, float* pairs) const;
  bool bf16() const { return precision_ == Precision::kBf16; }

 private:
  int64_t n_, width_;
  Precision precision_;
  std::vector<int64_t> taps_;
  Buffer memory_;  // weight, then bias
  const float *weight_, *bias_;
};

struct FastLayer {
  PackedNorm norm1;
  PanelLinear qkv;   // q, k and v of all heads, or multi-query's q and its one k and v: [W, C]
  PanelLinear proj;  // columns h*D+d, as attention leaves its output
  PackedNorm norm2;
  PanelLinear fc1, fc2;
};

struct FastLevel {
  Level shape;
  kernels::AttentionShape attention;
  int64_t mlp;                      // width of the hidden layer
  std::optional<PanelLinear> conv;  // over a plane with a border of one; not at level 0
  std::optional<PackedNorm> pool_norm;
  std::vector<float> position;  // [T, N, C]
  std::vector<FastLayer> layers;
};

struct FastModel {
  PanelLinear patch_embedding;  // [C0, channels * e * e]
  std::vector<FastLevel> levels;
  PackedNorm norm;
  PanelLinear head;  // [K, C]
};

// Whether the fast forward knows the model: one that norms every token by itself.
bool fast_covers(const NestConfig& config);

// Patch embedding and head are f32 in any precision. Throws Error when `model.tensors` is not
// exactly what its configuration asks for.
FastModel fast_pack(const Model& model, Precision precision);

}  // namespace nestvit

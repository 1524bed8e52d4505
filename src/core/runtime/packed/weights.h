// The weights of a forward, packed once when a model is loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/inference.h"
#include "model/nest.h"
#include "runtime/packed/convolution.h"
#include "runtime/packed/linear.h"
#include "weights/model_dir.h"

namespace nestvit {

// Layer and group norm: gamma and beta. Batch norm: its running statistics folded into a scale and
// a shift.
struct PackedNorm {
  Norm kind;
  std::vector<float> scale, shift;  // [C]
};

struct PackedLayer {
  PackedNorm norm1;
  Linear qkv;   // q, k and v of all heads, or multi-query's q and its one k and v: [W, C]
  Linear proj;  // columns h*D+d, as attention leaves its output
  PackedNorm norm2;
  Linear fc1, fc2;
};

struct PackedLevel {
  Level shape;
  kernels::AttentionShape attention;
  int64_t mlp;  // width of the hidden layer
  // Whether linear layers use Strassen, which pays from 16 rows per processor. Decided by the
  // machine, not by the number of threads asked for, which must not change a bit.
  bool use_strassen;
  std::optional<Convolution> conv;  // not at level 0
  std::optional<PackedNorm> pool_norm;
  std::vector<float> position;  // [T, N, C]
  std::vector<PackedLayer> layers;
};

struct PackedModel {
  Linear patch_embedding;  // [C0, channels * e * e]
  std::vector<PackedLevel> levels;
  PackedNorm norm;
  Linear head;  // [K, C]
};

// Patch embedding and head are f32 in any precision. Weights that are mapped from a file give their
// memory back to the system once they are packed. Throws Error when `model.tensors` is not exactly
// what its configuration asks for.
PackedModel pack(const LoadedModel& model, NumberType precision);

// attn.proj's weight [C, C] with its columns in the order of attention's output, h*D+d; in files,
// as in timm, they are d*H+h.
std::vector<float> by_heads(const std::vector<float>& weight, const Level& level);

}  // namespace nestvit

// The weights of the fast forward, packed once when a model is loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/inference.h"
#include "model/nest.h"
#include "runtime/convolution.h"
#include "runtime/linear.h"
#include "weights/model_dir.h"

namespace nestvit {

// Layer and group norm: gamma and beta. Batch norm: its running statistics folded into a scale and
// a shift.
struct PackedNorm {
  Norm kind;
  std::vector<float> scale, shift;  // [C]
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
  int64_t mlp;  // width of the hidden layer
  // Whether its linear layers go by PanelLinear::by_fours(). Where there are many processors a
  // thread may have few rows of an image, which that is slow for. Not a matter of how many threads
  // are asked for: they are to change no bit.
  bool fours;
  std::optional<Convolution> conv;  // not at level 0
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

// Patch embedding and head are f32 in any precision. Throws Error when `model.tensors` is not
// exactly what its configuration asks for.
FastModel fast_pack(const LoadedModel& model, NumberType precision);

// attn.proj's weight [C, C] with the columns as attention leaves its output, h*D+d; the file's,
// timm's, are d*H+h.
std::vector<float> by_heads(const std::vector<float>& weight, const Level& level);

}  // namespace nestvit

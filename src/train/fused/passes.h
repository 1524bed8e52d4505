// The arithmetic of a fused layer, forward and backward, on one piece of tokens; each call works on
// one thread. Shapes: R rows (tokens) of the piece, C channels, W = C + 2*kv_heads*D the width of
// q, k and v together, M the width of the MLP. Free of libtorch.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/training.h"
#include "train/fused/pieces.h"
#include "train/fused/product.h"

namespace nestvit::train {

// The parameters, in the order in which gradients are returned. A weight is [out, in].
enum Slot {
  kNorm1Weight,
  kNorm1Bias,
  kQkvWeight,
  kQkvBias,
  kProjWeight,
  kProjBias,
  kNorm2Weight,
  kNorm2Bias,
  kFc1Weight,
  kFc1Bias,
  kFc2Weight,
  kFc2Bias,
  kSlots
};

struct Sizes {
  int64_t images, blocks, tokens;  // B, T, N
  int64_t width, qkv, mlp;         // C, W, M
  int64_t heads, kv_heads;
  int64_t rows() const { return images * blocks * tokens; }
  int64_t rows_per_image() const { return blocks * tokens; }
  int64_t head_dim() const { return width / heads; }
  int64_t k_column() const { return width; }
  int64_t v_column() const { return width + kv_heads * head_dim(); }
  int64_t out(Slot weight) const {
    return weight == kQkvWeight ? qkv : weight == kFc1Weight ? mlp : width;
  }
  int64_t in(Slot weight) const { return weight == kFc2Weight ? mlp : width; }
  int64_t widest() const { return std::max(mlp, qkv); }
  // Multiplications of a row, over C.
  int64_t attention_cost() const { return qkv + width + 2 * tokens; }
  int64_t mlp_cost() const { return 2 * mlp; }
  kernels::AttentionShape attention() const {
    return {.tokens = tokens,
            .heads = heads,
            .head_dim = head_dim(),
            .kv_heads = kv_heads,
            .ld = qkv,
            .ld_out = width};
  }
};

// The layer's arrays, for all rows: the input, the parameters, and what forward leaves for
// backward.
struct Arrays {
  const float* x;                           // [rows, C]
  std::array<const float*, kSlots> params;  // by Slot
  const float *keep1, *keep2;               // [B] or null
  float* qkv;                               // [rows, W], with bias
  float* attended;                          // [rows, C], the outputs of the heads
  float* middle;                            // [rows, C], x after the attention branch
  float* hidden;                            // [rows, M], before bias and GELU
};

using Gradients = std::array<float*, kSlots>;  // by Slot

enum class Pass { kForward, kBackward };
struct LayerKind {
  Pass pass;
  bool tanh_gelu, bf16;
};

class LayerPass {
 public:
  static constexpr std::array<Slot, 4> kWeights = {kQkvWeight, kProjWeight, kFc1Weight, kFc2Weight};

  LayerPass(const Sizes& sizes, const Arrays& arrays, const LayerKind& kind);

  // For bf16, once for each of kWeights before the first piece: every piece multiplies by the same
  // packed weights. On any thread.
  void pack_weight(Slot slot);

  // Floats of scratch that a piece of `rows` needs.
  int64_t scratch(int64_t rows) const;

  // y [rows, C] of all pieces.
  void forward(const Piece& piece, float* y, float* scratch) const;
  // dy and dx [rows, C] of all pieces. Adds to `grads`.
  void backward(const Piece& piece, const float* dy, float* dx, const Gradients& grads,
                float* scratch) const;

 private:
  class PiecePass;
  class PieceForward;
  class PieceBackward;

  const float* p(Slot slot) const { return a_.params[slot]; }
  // Tokens are multiplied by W^T in the forward, their gradients by W in the backward.
  kernels::Operand weight(Slot slot) const { return {p(slot), kind_.pass == Pass::kForward}; }
  const uint32_t* packed(Slot slot) const {
    return packed_[slot].empty() ? nullptr : packed_[slot].data();
  }

  Sizes s_;
  Arrays a_;
  LayerKind kind_;
  std::array<std::vector<uint32_t>, kSlots> packed_;  // weights in bf16
  const kernels::TrainingKernels& kernels_;
};

}  // namespace nestvit::train

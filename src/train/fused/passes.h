// The arithmetic of a fused layer, forward and backward, on one piece of tokens; each call works on
// one thread. Shapes: a piece has R rows (tokens), whole blocks of them; W = C + 2*kv_heads*D is
// the width of q, k and v together; M is the MLP's. Free of libtorch.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/dispatch.h"
#include "train/fused/pieces.h"
#include "train/fused/product.h"

namespace nestvit::train {

// The parameters, in the order in which gradients are returned.
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
  // Multiplications of a row, over C.
  int64_t attention_cost() const { return qkv + width + 2 * tokens; }
  int64_t mlp_cost() const { return 2 * mlp; }
  kernels::AttentionShape attention() const {
    return {tokens, heads, head_dim(), kv_heads, qkv, width};
  }
};

// What both passes read: the layer's arrays, and what forward leaves for backward.
struct Arrays {
  const float* x;                           // [rows, C]
  std::array<const float*, kSlots> params;  // by Slot
  const float *keep1, *keep2;               // [B] or null
  float* qkv;                               // [rows, W], with bias
  float* mixed;                             // [rows, C], the heads' outputs
  float* middle;                            // [rows, C], x after the attention branch
  float* hidden;                            // [rows, M], before bias and GELU
};

enum class Pass { kForward, kBackward };
struct LayerKind {
  Pass pass;
  bool tanh_gelu, bf16;
};

class LayerPass {
 public:
  static constexpr std::array<Slot, 4> kWeights = {kQkvWeight, kProjWeight, kFc1Weight, kFc2Weight};

  LayerPass(const Sizes& sizes, const Arrays& arrays, const LayerKind& kind)
      : s_(sizes),
        a_(arrays),
        kind_(kind),
        products_(kind.bf16),
        kernels_(*kernels::training_kernels().front()) {}

  // In bf16, once for each of kWeights before the first piece: all pieces multiply by the same
  // ones. On any thread.
  void pack_weight(Slot slot);

  // Floats of scratch that a piece of `rows` needs.
  int64_t scratch(int64_t rows) const;

  // y [rows, C] of all pieces.
  void forward(const Piece& piece, float* y, float* scratch) const;
  // dy, dx [rows, C] of all pieces; `grads` by Slot are added to.
  void backward(const Piece& piece, const float* dy, float* dx,
                const std::array<float*, kSlots>& grads, float* scratch) const;

 private:
  struct Memory {
    float *normed, *branch;  // [rows, C]
    float *first, *second;   // [rows, max(M, W)]; of attention, `second` is the heads' scratch
    float* packed;           // of the products
  };

  void attention_forward(const Piece& piece, const float* x, float* y, float* scratch) const;
  void mlp_forward(const Piece& piece, const float* x, float* y, float* scratch) const;
  void branch_gradient(const Piece& piece, const float* dy, const float* keep, float* branch,
                       float* sum) const;
  void mlp_backward(const Piece& piece, const float* dy, float* dmiddle,
                    const std::array<float*, kSlots>& grads, const Memory& m) const;
  void attention_backward(const Piece& piece, const float* dy, float* dx,
                          const std::array<float*, kSlots>& grads, const Memory& m) const;

  const float* p(Slot slot) const { return a_.params[slot]; }
  // What tokens are multiplied by: the weight [out, in] in the backward, transposed in the forward.
  Operand weight_operand(Slot slot) const { return {p(slot), kind_.pass == Pass::kForward}; }
  RightOperand weight(Slot slot) const {
    return {weight_operand(slot), packed_[slot].empty() ? nullptr : packed_[slot].data()};
  }
  int64_t wide() const { return std::max(s_.mlp, s_.qkv); }
  int64_t packed_size(int64_t rows) const { return products_.scratch(rows, wide()); }

  Sizes s_;
  Arrays a_;
  LayerKind kind_;
  Products products_;
  std::array<std::vector<uint32_t>, kSlots> packed_;  // weights, in bf16
  const kernels::TrainingKernels& kernels_;
};

}  // namespace nestvit::train

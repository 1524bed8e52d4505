// One encoder layer as one operation on the CPU: forward and backward go over the tokens in pieces
// that stay in a core's cache from the first norm to the last product, instead of over all of them
// once per operation. What it computes is EncoderLayer of nest.cpp; tests hold one against the
// other.
#pragma once

#include "train/torch.h"

namespace nestvit::train {

struct FusedLayer {
  torch::Tensor norm1_weight, norm1_bias;  // [C]
  torch::Tensor qkv_weight, qkv_bias;      // [C + 2*kv_heads*D, C]: q, k, v; bias [..]
  torch::Tensor proj_weight, proj_bias;    // [C, C], columns h*D + d; [C]
  torch::Tensor norm2_weight, norm2_bias;  // [C]
  torch::Tensor fc1_weight, fc1_bias;      // [M, C]; [M]
  torch::Tensor fc2_weight, fc2_bias;      // [C, M]; [C]
  // What each branch of each image is multiplied by (drop-path), [B], or undefined for 1. They get
  // no gradient.
  torch::Tensor keep1, keep2;
  int64_t heads = 0, kv_heads = 0;  // kv_heads is heads or 1
  bool tanh_gelu = false;
};

// Whether encoder_layer() takes x: f32 on the CPU. Under autocast to bf16, where the processor has
// AVX512_BF16: the products of the four linear layers and their gradients round their operands to
// bf16 and sum in f32; all else stays f32.
bool fused_covers(const torch::Tensor& x);

// x [B, T, N, C] -> [B, T, N, C]. Differentiable once. The same bits for the same number of
// threads.
torch::Tensor encoder_layer(const torch::Tensor& x, const FusedLayer& layer);

}  // namespace nestvit::train

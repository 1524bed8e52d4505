// One encoder layer as one operation on the CPU. Forward and backward take the tokens in pieces
// that stay in a core's cache from the first norm to the last product; operation by operation, all
// tokens would pass through memory each time. It computes EncoderLayer of network/nest.cpp; tests
// compare the two.
#pragma once

#include <array>

#include "train/torch.h"

namespace nestvit::train {

struct FusedLayer {
  torch::Tensor norm1_weight, norm1_bias;  // [C]
  torch::Tensor qkv_weight, qkv_bias;      // [C + 2*kv_heads*D, C]: q, k, v; bias [..]
  torch::Tensor proj_weight, proj_bias;    // [C, C], columns h*D + d; [C]
  torch::Tensor norm2_weight, norm2_bias;  // [C]
  torch::Tensor fc1_weight, fc1_bias;      // [M, C]; [M]
  torch::Tensor fc2_weight, fc2_bias;      // [C, M]; [C]
  // Drop-path: the factor of each image's attention and MLP branch, [B], or undefined for 1. They
  // get no gradient.
  torch::Tensor keep1, keep2;
  int64_t heads = 0, kv_heads = 0;  // kv_heads is heads or 1
  bool tanh_gelu = false;
};

// The layer whose parameters `module` has under timm's names: norm1.weight, attn.qkv.weight (or
// attn.q.weight and attn.kv.weight, multi-query), attn.proj.weight, mlp.fc1.weight, ... `keep` is
// {keep1, keep2}. Joined and reordered weights are new tensors, through which gradients flow back.
FusedLayer fused_layer(const torch::nn::Module& module, int64_t heads, bool tanh_gelu,
                       const std::array<torch::Tensor, 2>& keep);

// attn.proj.weight [C, C], whose columns are timm's, d*H + h, with columns h*D + d: attention
// leaves its output in that order, and a weight costs less to reorder than the tokens.
torch::Tensor head_major(const torch::Tensor& proj_weight, int64_t heads);

// Whether encoder_layer() takes x: f32 on the CPU, without autocast, or under autocast to bf16 if
// bf16_kernels_pay() (kernels/dispatch.h). The products of the four linear layers and their
// gradients then round their operands to bf16 and sum in f32; all else stays f32.
bool fused_covers(const torch::Tensor& x);

// x [B, T, N, C] -> [B, T, N, C]. Differentiable once. The same number of threads gives the same
// bits.
torch::Tensor encoder_layer(const torch::Tensor& x, const FusedLayer& layer);

}  // namespace nestvit::train

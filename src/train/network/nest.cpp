// The NesT forward on libtorch, image to logits, in one file; reference.md A, timm's module names
// and order. Shapes: B images, T blocks, N tokens per block, C channels, H heads, D = C/H, K
// classes. Tokens of a block lie together ([B, T, N, C], contiguous) from the patch embedding to
// the head; only ConvPool goes back to the plane.
#include "train/network/nest.h"

#include "base/check.h"
#include "train/fused/encoder_layer.h"
#include "train/network/batch_norm.h"
#include "train/network/recompute.h"

namespace nestvit::train {

using torch::Tensor;

// y = x W^T + b on the last axis.
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, bool has_bias = true)
      : weight(register_parameter("weight", torch::empty({out, in}))) {
    if (has_bias) bias = register_parameter("bias", torch::empty({out}));
  }
  Tensor forward(const Tensor& x) { return torch::linear(x, weight, bias); }

  Tensor weight;  // [out, in]
  Tensor bias;    // [out], or undefined
};

// The norm of config.norm_type over [B, T, N, C]; its arrays are [C].
class NormLayer : public torch::nn::Module {
 public:
  NormLayer(Norm kind, int64_t width)
      : weight(register_parameter("weight", torch::empty({width}))),
        bias(register_parameter("bias", torch::empty({width}))),
        kind_(kind) {
    if (kind == Norm::kBatch)
      batch_ = {weight, bias, register_buffer("running_mean", torch::zeros({width})),
                register_buffer("running_var", torch::ones({width}))};
  }

  Tensor forward(const Tensor& x) {
    switch (kind_) {
      case Norm::kLayer:  // each token by itself
        return torch::layer_norm(x, weight.sizes(), weight, bias, kNormEps);
      case Norm::kGroup:  // each image and group of C/32 channels, over all blocks and tokens
        return torch::group_norm(x.permute({0, 3, 1, 2}), kGroupNormGroups, weight, bias, kNormEps)
            .permute({0, 2, 3, 1});
      case Norm::kBatch:  // each channel, over the batch, all blocks and tokens
        return batch_norm(x.reshape({-1, x.size(-1)}), batch_, is_training()).view(x.sizes());
    }
    NESTVIT_CHECK(false);
  }

  Tensor weight, bias;  // [C]

 private:
  Norm kind_;
  BatchNormTensors batch_;  // of kBatch
};

// Self-attention inside each block: T only multiplies the batch.
class BlockAttention : public torch::nn::Module {
 public:
  BlockAttention(const NestConfig& config, const Level& level)
      : heads_(level.heads), drop_(config.attn_drop), proj_drop_(config.proj_drop) {
    const int64_t c = level.width;
    if (config.attn_type == Attention::kMultiHead) {
      qkv_ = register_module("qkv", std::make_shared<Linear>(c, 3 * c, config.qkv_bias));
    } else {
      q_ = register_module("q", std::make_shared<Linear>(c, c, config.qkv_bias));
      kv_ = register_module("kv", std::make_shared<Linear>(c, 2 * level.head_dim, config.qkv_bias));
    }
    proj_ = register_module("proj", std::make_shared<Linear>(c, c));
  }

  Tensor forward(const Tensor& x) {                              // [B, T, N, C] -> [B, T, N, C]
    const Tensor mixed = qkv_ ? multi_head(x) : multi_query(x);  // [B, T, N, C], channel h*D + d
    return torch::dropout(torch::linear(mixed, turned_proj(), proj_->bias), proj_drop_,
                          is_training() && proj_drop_ > 0);
  }

  void describe(FusedLayer& layer) const {
    layer.heads = heads_;
    layer.kv_heads = qkv_ ? heads_ : 1;
    layer.qkv_weight = qkv_ ? qkv_->weight : torch::cat({q_->weight, kv_->weight});
    const Tensor& bias = qkv_ ? qkv_->bias : q_->bias;
    if (!bias.defined()) {
      layer.qkv_bias = torch::zeros({layer.qkv_weight.size(0)}, layer.qkv_weight.options());
    } else {
      layer.qkv_bias = qkv_ ? bias : torch::cat({bias, kv_->bias});
    }
    layer.proj_weight = turned_proj();
    layer.proj_bias = proj_->bias;
  }

 private:
  // proj.weight's columns are timm's, d*H + h; here h*D + d. Turning it around is cheaper than the
  // tokens.
  Tensor turned_proj() const {
    const int64_t c = proj_->weight.size(0);
    return proj_->weight.view({c, c / heads_, heads_}).transpose(1, 2).reshape({c, c});
  }

  Tensor multi_head(const Tensor& x) {
    const auto qkv = qkv_->forward(x).chunk(3, /*dim=*/-1);  // 3 x [B, T, N, C]
    const auto heads = [&](const Tensor& z) {                // -> [B*T, H, N, D]
      return z.view({-1, x.size(2), heads_, x.size(3) / heads_}).transpose(1, 2);
    };
    return attend(heads(qkv[0]), heads(qkv[1]), heads(qkv[2])).transpose(1, 2).reshape(x.sizes());
  }

  // One key and one value head for all: the heads' queries are so many more queries of one head.
  Tensor multi_query(const Tensor& x) {
    const int64_t n = x.size(2), d = x.size(3) / heads_;
    const Tensor q = q_->forward(x).view({-1, 1, n * heads_, d});  // [B*T, 1, N*H, D]
    const auto kv =
        kv_->forward(x).view({-1, 1, n, 2 * d}).split(d, /*dim=*/3);  // 2 x [B*T, 1, N, D]
    return attend(q, kv[0], kv[1]).reshape(x.sizes());
  }

  // softmax(q k^T / sqrt(D)) v
  Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v) {
    return at::scaled_dot_product_attention(q, k, v, /*mask=*/{}, is_training() ? drop_ : 0);
  }

  int64_t heads_;
  double drop_, proj_drop_;
  std::shared_ptr<Linear> qkv_;     // multi-head
  std::shared_ptr<Linear> q_, kv_;  // multi-query
  std::shared_ptr<Linear> proj_;
};

class Mlp : public torch::nn::Module {
 public:
  Mlp(const NestConfig& config, int width)
      : approximate_(config.gelu == Gelu::kTanh ? "tanh" : "none"),
        drop_(config.proj_drop),
        fc1_(register_module("fc1", std::make_shared<Linear>(width, mlp_width(config, width)))),
        fc2_(register_module("fc2", std::make_shared<Linear>(mlp_width(config, width), width))) {}

  Tensor forward(const Tensor& x) {                                     // [B, T, N, C]
    const Tensor hidden = torch::gelu(fc1_->forward(x), approximate_);  // [B, T, N, mlp_ratio*C]
    return drop(fc2_->forward(drop(hidden)));
  }

  void describe(FusedLayer& layer) const {
    layer.fc1_weight = fc1_->weight;
    layer.fc1_bias = fc1_->bias;
    layer.fc2_weight = fc2_->weight;
    layer.fc2_bias = fc2_->bias;
    layer.tanh_gelu = approximate_ == "tanh";
  }

 private:
  Tensor drop(const Tensor& x) { return drop_ > 0 ? torch::dropout(x, drop_, is_training()) : x; }

  std::string approximate_;
  double drop_;
  std::shared_ptr<Linear> fc1_, fc2_;
};

// One pre-norm encoder layer: x + attention(norm1(x)), then + mlp(norm2(.)).
class EncoderLayer : public torch::nn::Module {
 public:
  EncoderLayer(const NestConfig& config, const Level& level, double drop_path)
      : fusable_(config.norm_type == Norm::kLayer && config.attn_drop == 0 &&
                 config.proj_drop == 0),
        drop_path_(drop_path),
        norm1_(
            register_module("norm1", std::make_shared<NormLayer>(config.norm_type, level.width))),
        attn_(register_module("attn", std::make_shared<BlockAttention>(config, level))),
        norm2_(
            register_module("norm2", std::make_shared<NormLayer>(config.norm_type, level.width))),
        mlp_(register_module("mlp", std::make_shared<Mlp>(config, level.width))) {}

  Tensor forward(Tensor x) {  // [B, T, N, C]
    if (fusable_ && use_fused && fused_covers(x)) return encoder_layer(x, described(x));
    x = add_branch(x, attn_->forward(norm1_->forward(x)));
    return add_branch(x, mlp_->forward(norm2_->forward(x)));
  }

  bool use_fused = true;

 private:
  // Drop-path: leaves a branch out for some images and scales it up for the others. [B, 1, 1, 1],
  // or undefined when it is off.
  Tensor keep(const Tensor& x) const {
    if (!is_training() || drop_path_ == 0) return {};
    const double rate = 1 - drop_path_;
    return torch::empty({x.size(0), 1, 1, 1}, x.options()).bernoulli_(rate).div_(rate);
  }

  Tensor add_branch(const Tensor& x, const Tensor& branch) const {
    const Tensor factor = keep(x);
    return factor.defined() ? torch::addcmul(x, branch, factor) : x + branch;
  }

  FusedLayer described(const Tensor& x) const {
    FusedLayer layer;
    layer.norm1_weight = norm1_->weight;
    layer.norm1_bias = norm1_->bias;
    attn_->describe(layer);
    layer.norm2_weight = norm2_->weight;
    layer.norm2_bias = norm2_->bias;
    mlp_->describe(layer);
    layer.keep1 = keep(x);
    layer.keep2 = keep(x);
    return layer;
  }

  bool fusable_;
  double drop_path_;
  std::shared_ptr<NormLayer> norm1_;
  std::shared_ptr<BlockAttention> attn_;
  std::shared_ptr<NormLayer> norm2_;
  std::shared_ptr<Mlp> mlp_;
};

// e x e pixels become a token, p x p tokens a block. [B, channels, S, S] -> [B, T, N, C]. A strided
// convolution, written as a product so that the tokens come out in block order.
class PatchEmbed : public torch::nn::Module {
 public:
  PatchEmbed(const NestConfig& config, const Level& level)
      : channels_(config.in_channels),
        patch_(config.init_patch_embed_size),
        edge_(level.edge),
        grid_(level.grid),
        proj_(register_module("proj", std::make_shared<Proj>(level.width, channels_, patch_))) {}

  Tensor forward(const Tensor& x) {  // [B, channels, S, S]
    const Tensor patches =
        x.reshape({-1, channels_, grid_, edge_, patch_, grid_, edge_, patch_})
            .permute({0, 2, 5, 3, 6, 1, 4, 7})  // block y, x; token y, x; channel, pixel y, x
            .reshape({-1, grid_ * grid_, edge_ * edge_, channels_ * patch_ * patch_});
    return torch::linear(patches, proj_->weight.flatten(1), proj_->bias);
  }

 private:
  struct Proj : torch::nn::Module {
    Proj(int64_t out, int64_t in, int64_t kernel)
        : weight(register_parameter("weight", torch::empty({out, in, kernel, kernel}))),
          bias(register_parameter("bias", torch::empty({out}))) {}
    Tensor weight, bias;
  };

  int64_t channels_, patch_, edge_, grid_;
  std::shared_ptr<Proj> proj_;
};

// Between levels, the only place where blocks meet: 3x3 convolution, LayerNorm, 3x3 max-pool of
// stride 2. [B, T, N, C] -> [B, T/4, N, C']
class ConvPool : public torch::nn::Module {
 public:
  ConvPool(const NestConfig& config, const Level& from, const Level& to)
      : padding_(config.pool_padding),
        from_(from),
        to_(to),
        conv_(register_module("conv", std::make_shared<Conv>(from.width, to.width))),
        norm_(register_module("norm", std::make_shared<NormLayer>(Norm::kLayer, to.width))) {}

  Tensor forward(Tensor x) {
    const int64_t b = x.size(0), map = from_.map();
    x = x.view({b, from_.grid, from_.grid, from_.edge, from_.edge, from_.width})
            .transpose(2, 3)                      // [B, block y, token y, block x, token x, C]
            .reshape({b, map, map, from_.width})  // the plane, channels last
            .permute({0, 3, 1, 2});
    x = torch::conv2d(x, conv_->weight, conv_->bias, /*stride=*/1,
                      /*padding=*/1);  // [B, C', map, map]
    x = norm_->forward(x.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
    x = pool(x);  // [B, C', half, half]
    return x.permute({0, 2, 3, 1})
        .reshape({b, to_.grid, to_.edge, to_.grid, to_.edge, to_.width})
        .transpose(2, 3)
        .reshape({b, to_.blocks, to_.tokens, to_.width});
  }

 private:
  // The map is even, so SAME's one row after the last (reference.md A.3) is what ceil_mode adds.
  Tensor pool(const Tensor& x) {
    const bool same = padding_ == PoolPadding::kSame;
    return torch::max_pool2d(x, /*kernel=*/3, /*stride=*/2, /*padding=*/same ? 0 : 1,
                             /*dilation=*/1,
                             /*ceil_mode=*/same);
  }

  struct Conv : torch::nn::Module {
    Conv(int64_t in, int64_t out)
        : weight(register_parameter("weight", torch::empty({out, in, 3, 3}))),
          bias(register_parameter("bias", torch::empty({out}))) {}
    Tensor weight, bias;
  };

  PoolPadding padding_;
  Level from_, to_;
  std::shared_ptr<Conv> conv_;
  std::shared_ptr<NormLayer> norm_;
};

class NestLevel : public torch::nn::Module {
 public:
  // `from` is the level before, null at the image side.
  NestLevel(const NestConfig& config, const Level* from, const Level& level)
      : pos_embed_(register_parameter("pos_embed",
                                      torch::empty({1, level.blocks, level.tokens, level.width}))) {
    if (from) pool_ = register_module("pool", std::make_shared<ConvPool>(config, *from, level));
    auto encoder = register_module("transformer_encoder", std::make_shared<torch::nn::Module>());
    for (int j = 0; j < level.depth; ++j) {
      const double drop_path = drop_path_rate(config, level.first_layer + j);
      layers_.push_back(encoder->register_module(
          std::to_string(j), std::make_shared<EncoderLayer>(config, level, drop_path)));
    }
  }

  void use_fused(bool on) {
    for (const auto& layer : layers_) layer->use_fused = on;
  }

  Tensor forward(Tensor x) {           // [B, 4T, N, C/s], or [B, T, N, C] at the image side
    if (pool_) x = pool_->forward(x);  // [B, T, N, C]
    x = x + pos_embed_;                // a vector of its own for every block and token
    for (const auto& layer : layers_)
      x = grad_checkpointing && is_training()
              ? recomputed([layer](const Tensor& z) { return layer->forward(z); }, x)
              : layer->forward(x);
    return x;
  }

  bool grad_checkpointing = false;

 private:
  Tensor pos_embed_;
  std::shared_ptr<ConvPool> pool_;
  std::vector<std::shared_ptr<EncoderLayer>> layers_;
};

NestImpl::NestImpl(const NestConfig& config) : config_(config) {
  const std::vector<Level> geometry = nestvit::geometry(config);
  const int64_t last = geometry.back().width;
  patch_embed_ =
      register_module("patch_embed", std::make_shared<PatchEmbed>(config, geometry.front()));
  auto levels = register_module("levels", std::make_shared<torch::nn::Module>());
  for (const Level& level : geometry) {
    const Level* from = level.index > 0 ? &geometry[level.index - 1] : nullptr;
    levels_.push_back(levels->register_module(std::to_string(level.index),
                                              std::make_shared<NestLevel>(config, from, level)));
  }
  norm_ = register_module("norm", std::make_shared<NormLayer>(config.norm_type, last));
  head_ = register_module("head", std::make_shared<Linear>(last, config.num_classes));
}

void NestImpl::set_grad_checkpointing(bool on) {
  for (const auto& level : levels_) level->grad_checkpointing = on;
}

Tensor NestImpl::forward(Tensor x, std::vector<Tensor>* levels) {
  check_input(x, config_.in_channels, config_.image_size);
  x = patch_embed_->forward(x);  // [B, T, N, C]
  for (const auto& level : levels_) {
    x = level->forward(x);  // [B, T, N, C] of this level; T is 1 at the last
    if (levels) levels->push_back(x);
  }
  return head_->forward(norm_->forward(x).mean({1, 2}));  // norm, then average: [B, C] -> [B, K]
}

void NestImpl::use_fused(bool on) {
  for (const auto& level : levels_) level->use_fused(on);
}

}  // namespace nestvit::train

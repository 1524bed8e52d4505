// The two passes of a fused layer, step by step on a piece.
#include "train/fused/passes.h"

#include "kernels/dispatch.h"
#include "model/nest.h"

namespace nestvit::train {
namespace {

constexpr auto kEps = static_cast<float>(kNormEps);

// The next `count` floats of `scratch`.
float* take(float*& scratch, int64_t count) {
  float* taken = scratch;
  scratch += count;
  return taken;
}

}  // namespace

// The steps that both passes of a piece have. R is `rows_`; arrays begin at the piece's first row.
class LayerPass::PiecePass {
 protected:
  PiecePass(const LayerPass& pass, const Piece& piece)
      : pass_(pass), kernels_(pass.kernels_), s_(pass.s_), piece_(piece), rows_(piece.rows) {}

  const float* p(Slot slot) const { return pass_.p(slot); }

  template <class Float>
  Float* rows_of(Float* array, int64_t width) const {
    return array + piece_.first * width;
  }

  // y [R, C] = norm(x)
  void layer_norm(Slot weight, Slot bias, const float* x, float* y) const {
    kernels_.layer_norm(x, rows_, s_.width, p(weight), p(bias), kEps, y);
  }

  // y [R, out] = x [R, in] W^T in the forward; dx [R, in] = dy [R, out] W in the backward.
  void times_weight(Slot slot, const float* x, float* y) const {
    const bool forward = pass_.kind_.pass == Pass::kForward;
    multiply({.a = {x},
              .b = pass_.weight(slot),
              .packed_b = pass_.packed(slot),
              .m = rows_,
              .n = forward ? s_.out(slot) : s_.in(slot),
              .k = forward ? s_.in(slot) : s_.out(slot),
              .c = y},
             pass_.kind_.bf16, packed_);
  }

  // Calls visit(row, rows, keep) for each run of rows of one image.
  template <class Visit>
  void by_image(const float* keep, const Visit& visit) const {
    if (!keep) return visit(int64_t{0}, rows_, 1.0f);
    for (int64_t row = 0; row < rows_;) {
      const int64_t image = (piece_.first + row) / s_.rows_per_image();
      const int64_t end = std::min(rows_, (image + 1) * s_.rows_per_image() - piece_.first);
      visit(row, end - row, keep[image]);
      row = end;
    }
  }

  const LayerPass& pass_;
  const kernels::TrainingKernels& kernels_;
  const Sizes& s_;
  const Piece& piece_;
  const int64_t rows_;
  float* packed_ = nullptr;  // scratch of the products
};

class LayerPass::PieceForward : PiecePass {
 public:
  PieceForward(const LayerPass& pass, const Piece& piece, float* scratch)
      : PiecePass(pass, piece),
        normed_(take(scratch, rows_ * s_.width)),
        branch_(take(scratch, rows_ * s_.width)) {
    packed_ = take(scratch, product_scratch(rows_, s_.widest(), pass_.kind_.bf16));
    rest_ = scratch;
  }

  // y = x + keep1 * proj(attention(norm1(x)))
  void attention(const float* x, float* y) const {
    float *qkv = rows_of(pass_.a_.qkv, s_.qkv), *attended = rows_of(pass_.a_.attended, s_.width);
    layer_norm(kNorm1Weight, kNorm1Bias, x, normed_);
    times_weight(kQkvWeight, normed_, qkv);  // [R, C] -> [R, W]
    kernels_.add_bias(qkv, rows_, s_.qkv, p(kQkvBias));
    for (int64_t row = 0; row < rows_; row += s_.tokens) {
      const float* q = qkv + row * s_.qkv;
      kernels_.attention(s_.attention(), q, q + s_.k_column(), q + s_.v_column(),
                         attended + row * s_.width, rest_);
    }
    times_weight(kProjWeight, attended, branch_);  // [R, C] -> [R, C]
    add_branch(x, pass_.a_.keep1, kProjBias, y);
  }

  // y = x + keep2 * fc2(gelu(fc1(norm2(x))))
  void mlp(const float* x, float* y) const {
    float *hidden = rows_of(pass_.a_.hidden, s_.mlp), *active = rest_;
    layer_norm(kNorm2Weight, kNorm2Bias, x, normed_);
    times_weight(kFc1Weight, normed_, hidden);  // [R, C] -> [R, M]
    kernels_.bias_gelu(hidden, p(kFc1Bias), rows_, s_.mlp, pass_.kind_.tanh_gelu, active);
    times_weight(kFc2Weight, active, branch_);  // [R, M] -> [R, C]
    add_branch(x, pass_.a_.keep2, kFc2Bias, y);
  }

 private:
  // y = x + keep * (branch + bias)
  void add_branch(const float* x, const float* keep, Slot bias, float* y) const {
    const int64_t C = s_.width;
    by_image(keep, [&](int64_t row, int64_t rows, float factor) {
      kernels_.add_branch(x + row * C, branch_ + row * C, p(bias), factor, rows, C, y + row * C);
    });
  }

  float *normed_, *branch_;  // [R, C]
  float* rest_;              // scratch of attention, or [R, M] of the MLP
};

class LayerPass::PieceBackward : PiecePass {
 public:
  PieceBackward(const LayerPass& pass, const Piece& piece, const Gradients& gradients,
                float* scratch)
      : PiecePass(pass, piece),
        grads_(gradients),
        normed_(take(scratch, rows_ * s_.width)),
        dbranch_(take(scratch, rows_ * s_.width)),
        wide1_(take(scratch, rows_ * s_.widest())),
        wide2_(take(scratch, rows_ * s_.widest())) {
    packed_ = take(scratch, product_scratch(rows_, s_.widest(), pass_.kind_.bf16));
    heads_ = scratch;
  }

  // PieceForward::mlp backwards: dx from dy, where x is `middle`.
  void mlp(const float* dy, float* dx) const {
    const float *x = rows_of(pass_.a_.middle, s_.width), *hidden = rows_of(pass_.a_.hidden, s_.mlp);
    float *active = wide1_, *dhidden = wide2_, *dnormed = normed_;
    branch_gradient(dy, pass_.a_.keep2, kFc2Bias);
    times_weight(kFc2Weight, dbranch_, dhidden);  // [R, C] -> [R, M]
    kernels_.bias_gelu_backward(hidden, p(kFc1Bias), rows_, s_.mlp, pass_.kind_.tanh_gelu, active,
                                dhidden, grads_[kFc1Bias]);
    weight_gradient(kFc2Weight, dbranch_, active);  // [C, M]
    layer_norm(kNorm2Weight, kNorm2Bias, x, normed_);
    weight_gradient(kFc1Weight, dhidden, normed_);  // [M, C]
    times_weight(kFc1Weight, dhidden, dnormed);     // [R, M] -> [R, C]
    layer_norm_backward(kNorm2Weight, kNorm2Bias, x, dnormed, dy, dx);
  }

  // PieceForward::attention backwards: dx from dy.
  void attention(const float* dy, float* dx) const {
    const float *x = rows_of(pass_.a_.x, s_.width), *qkv = rows_of(pass_.a_.qkv, s_.qkv);
    float *dattended = normed_, *dqkv = wide1_, *dnormed = normed_;
    branch_gradient(dy, pass_.a_.keep1, kProjBias);
    weight_gradient(kProjWeight, dbranch_, rows_of(pass_.a_.attended, s_.width));  // [C, C]
    times_weight(kProjWeight, dbranch_, dattended);  // [R, C] -> [R, C]
    for (int64_t row = 0; row < rows_; row += s_.tokens) {
      const float* q = qkv + row * s_.qkv;
      float* dq = dqkv + row * s_.qkv;
      kernels_.attention_backward(s_.attention(), q, q + s_.k_column(), q + s_.v_column(),
                                  dattended + row * s_.width, dq, dq + s_.k_column(),
                                  dq + s_.v_column(), heads_);
    }
    kernels_.sum_rows(dqkv, rows_, s_.qkv, grads_[kQkvBias]);
    layer_norm(kNorm1Weight, kNorm1Bias, x, normed_);
    weight_gradient(kQkvWeight, dqkv, normed_);  // [W, C]
    times_weight(kQkvWeight, dqkv, dnormed);     // [R, W] -> [R, C]
    layer_norm_backward(kNorm1Weight, kNorm1Bias, x, dnormed, dy, dx);
  }

 private:
  // dbranch = keep * dy; the gradient of the branch's last bias is its sum over the rows.
  void branch_gradient(const float* dy, const float* keep, Slot bias) const {
    const int64_t C = s_.width;
    by_image(keep, [&](int64_t row, int64_t rows, float factor) {
      kernels_.scale_and_sum(dy + row * C, factor, rows, C, dbranch_ + row * C, grads_[bias]);
    });
  }

  // Adds dy^T x [out, in] to the gradient of W, for dy [R, out] and x [R, in].
  void weight_gradient(Slot slot, const float* dy, const float* x) const {
    multiply({.a = {.data = dy, .transposed = true},
              .b = {x},
              .m = s_.out(slot),
              .n = s_.in(slot),
              .k = rows_,
              .c = grads_[slot],
              .add = true},
             pass_.kind_.bf16, packed_);
  }

  // dx = dy of the skip connection + the gradient through the norm.
  void layer_norm_backward(Slot weight, Slot bias, const float* x, const float* dnormed,
                           const float* dy, float* dx) const {
    kernels_.layer_norm_backward(x, dnormed, dy, rows_, s_.width, p(weight), kEps, dx,
                                 grads_[weight], grads_[bias]);
  }

  const Gradients& grads_;
  float *normed_, *dbranch_;  // [R, C]
  float *wide1_, *wide2_;     // [R, max(M, W)]
  float* heads_;              // scratch of attention
};

LayerPass::LayerPass(const Sizes& sizes, const Arrays& arrays, const LayerKind& kind)
    : s_(sizes), a_(arrays), kind_(kind), kernels_(*kernels::training_kernels().front()) {}

void LayerPass::pack_weight(Slot slot) {
  const kernels::Operand w = weight(slot);
  const int64_t k = w.transposed ? s_.in(slot) : s_.out(slot);
  const int64_t n = w.transposed ? s_.out(slot) : s_.in(slot);
  packed_[slot].resize(static_cast<size_t>(kernels::bf16_right_size(k, n)));
  kernels::bf16_kernels().front()->pack_right(w, k, n, packed_[slot].data());
}

int64_t LayerPass::scratch(int64_t rows) const {
  const int64_t arrays =
      kind_.pass == Pass::kForward ? 2 * s_.width + s_.mlp : 3 * s_.width + 2 * s_.widest();
  return rows * arrays + product_scratch(rows, s_.widest(), kind_.bf16) +
         kernels::attention_scratch(s_.attention());
}

void LayerPass::forward(const Piece& piece, float* y, float* scratch) const {
  const int64_t C = s_.width, first = piece.first * C, count = piece.rows * C;
  const float* x = a_.x + first;
  float* middle = a_.middle + first;
  const PieceForward step(*this, piece, scratch);
  if (piece.keeps_attention)
    step.attention(x, middle);
  else
    std::copy_n(x, count, middle);
  if (piece.keeps_mlp)
    step.mlp(middle, y + first);
  else
    std::copy_n(middle, count, y + first);
}

void LayerPass::backward(const Piece& piece, const float* dy, float* dx, const Gradients& grads,
                         float* scratch) const {
  const int64_t C = s_.width, first = piece.first * C, count = piece.rows * C;
  float* dmiddle = take(scratch, count);
  const PieceBackward step(*this, piece, grads, scratch);
  if (piece.keeps_mlp)
    step.mlp(dy + first, dmiddle);
  else
    std::copy_n(dy + first, count, dmiddle);
  if (piece.keeps_attention)
    step.attention(dmiddle, dx + first);
  else
    std::copy_n(dmiddle, count, dx + first);
}

}  // namespace nestvit::train

// The passes of a fused layer; see fused_layer.h.
#include "train/fused/passes.h"

#include "model/nest.h"

namespace nestvit::train {
namespace {

constexpr auto kEps = static_cast<float>(kNormEps);

// Calls visit(offset, rows, keep) for each run of rows of one image.
template <typename Visit>
void by_image(const Sizes& s, const Piece& piece, const float* keep, const Visit& visit) {
  if (!keep) return visit(0, piece.rows, 1.0f);
  for (int64_t at = 0; at < piece.rows;) {
    const int64_t image = (piece.first + at) / s.rows_per_image();
    const int64_t end = std::min(piece.rows, (image + 1) * s.rows_per_image() - piece.first);
    visit(at, end - at, keep[image]);
    at = end;
  }
}

void copy(const float* from, int64_t count, float* to) { std::copy_n(from, count, to); }

}  // namespace

void LayerPass::pack_weight(Slot slot) {
  const int64_t C = s_.width;
  int64_t out = C, in = C;
  if (slot == kQkvWeight) out = s_.qkv;
  if (slot == kFc1Weight) out = s_.mlp;
  if (slot == kFc2Weight) in = s_.mlp;
  const Operand operand = weight_operand(slot);
  const int64_t k = operand.turned ? in : out, n = operand.turned ? out : in;
  packed_[slot].resize(static_cast<size_t>(kernels::bf16_right_size(k, n)));
  kernels::bf16_products().front()->pack_right(operand, k, n, packed_[slot].data());
}

int64_t LayerPass::scratch(int64_t rows) const {
  const int64_t arrays =
      kind_.pass == Pass::kForward ? 2 * s_.width + s_.mlp : 3 * s_.width + 2 * wide();
  return rows * arrays + packed_size(rows) + kernels::attention_scratch(s_.attention());
}

void LayerPass::forward(const Piece& piece, float* y, float* scratch) const {
  const int64_t C = s_.width, count = piece.rows * C;
  const float* x = a_.x + piece.first * C;
  float* middle = a_.middle + piece.first * C;
  y += piece.first * C;
  piece.attends ? attention_forward(piece, x, middle, scratch) : copy(x, count, middle);
  piece.mixes ? mlp_forward(piece, middle, y, scratch) : copy(middle, count, y);
}

void LayerPass::backward(const Piece& piece, const float* dy, float* dx,
                         const std::array<float*, kSlots>& grads, float* scratch) const {
  const int64_t C = s_.width;
  float *dmiddle = scratch, *normed = dmiddle + piece.rows * C, *branch = normed + piece.rows * C,
        *first = branch + piece.rows * C, *second = first + piece.rows * wide(),
        *packed = second + piece.rows * wide(), *heads = packed + packed_size(piece.rows);
  dy += piece.first * C;
  dx += piece.first * C;
  piece.mixes ? mlp_backward(piece, dy, dmiddle, grads, {normed, branch, first, second, packed})
              : copy(dy, piece.rows * C, dmiddle);
  piece.attends
      ? attention_backward(piece, dmiddle, dx, grads, {normed, branch, first, heads, packed})
      : copy(dmiddle, piece.rows * C, dx);
}

// y = x + keep1 * proj(attention(norm1(x)))
void LayerPass::attention_forward(const Piece& piece, const float* x, float* y,
                                  float* scratch) const {
  const int64_t rows = piece.rows, C = s_.width;
  float *normed = scratch, *branch = normed + rows * C, *packed = branch + rows * C,
        *heads = packed + packed_size(rows);
  float *qkv = a_.qkv + piece.first * s_.qkv, *mixed = a_.mixed + piece.first * C;
  kernels_.layer_norm(x, rows, C, p(kNorm1Weight), p(kNorm1Bias), kEps, normed);
  products_({normed}, weight(kQkvWeight), {rows, s_.qkv, C}, {qkv}, packed);
  kernels_.add_bias(qkv, rows, s_.qkv, p(kQkvBias));
  for (int64_t r = 0; r < rows; r += s_.tokens) {
    const float* q = qkv + r * s_.qkv;
    kernels_.attention(s_.attention(), q, q + s_.k_column(), q + s_.v_column(), mixed + r * C,
                       heads);
  }
  products_({mixed}, weight(kProjWeight), {rows, C, C}, {branch}, packed);
  by_image(s_, piece, a_.keep1, [&](int64_t r, int64_t count, float keep) {
    kernels_.add_branch(x + r * C, branch + r * C, p(kProjBias), keep, count, C, y + r * C);
  });
}

// y = x + keep2 * fc2(gelu(fc1(norm2(x))))
void LayerPass::mlp_forward(const Piece& piece, const float* x, float* y, float* scratch) const {
  const int64_t rows = piece.rows, C = s_.width, M = s_.mlp;
  float *normed = scratch, *branch = normed + rows * C, *packed = branch + rows * C,
        *active = packed + packed_size(rows);
  float* hidden = a_.hidden + piece.first * M;
  kernels_.layer_norm(x, rows, C, p(kNorm2Weight), p(kNorm2Bias), kEps, normed);
  products_({normed}, weight(kFc1Weight), {rows, M, C}, {hidden}, packed);
  kernels_.bias_gelu(hidden, p(kFc1Bias), rows, M, kind_.tanh_gelu, active);
  products_({active}, weight(kFc2Weight), {rows, C, M}, {branch}, packed);
  by_image(s_, piece, a_.keep2, [&](int64_t r, int64_t count, float keep) {
    kernels_.add_branch(x + r * C, branch + r * C, p(kFc2Bias), keep, count, C, y + r * C);
  });
}

// scale_and_sum over the images of a piece.
void LayerPass::branch_gradient(const Piece& piece, const float* dy, const float* keep,
                                float* branch, float* sum) const {
  by_image(s_, piece, keep, [&](int64_t r, int64_t count, float scale) {
    kernels_.scale_and_sum(dy + r * s_.width, scale, count, s_.width, branch + r * s_.width, sum);
  });
}

// Of mlp_forward: dmiddle from dy.
void LayerPass::mlp_backward(const Piece& piece, const float* dy, float* dmiddle,
                             const std::array<float*, kSlots>& grads, const Memory& m) const {
  const int64_t rows = piece.rows, C = s_.width, M = s_.mlp;
  const float* middle = a_.middle + piece.first * C;
  float *active = m.first, *dhidden = m.second;
  branch_gradient(piece, dy, a_.keep2, m.branch, grads[kFc2Bias]);
  products_({m.branch}, weight(kFc2Weight), {rows, M, C}, {dhidden}, m.packed);
  kernels_.bias_gelu_backward(a_.hidden + piece.first * M, p(kFc1Bias), rows, M, kind_.tanh_gelu,
                              active, dhidden, grads[kFc1Bias]);
  products_({m.branch, true}, {{active}}, {C, M, rows}, {grads[kFc2Weight], true}, m.packed);
  kernels_.layer_norm(middle, rows, C, p(kNorm2Weight), p(kNorm2Bias), kEps, m.normed);
  products_({dhidden, true}, {{m.normed}}, {M, C, rows}, {grads[kFc1Weight], true}, m.packed);
  products_({dhidden}, weight(kFc1Weight), {rows, C, M}, {m.normed}, m.packed);
  kernels_.layer_norm_backward(middle, m.normed, dy, rows, C, p(kNorm2Weight), kEps, dmiddle,
                               grads[kNorm2Weight], grads[kNorm2Bias]);
}

// Of attention_forward: dx from dy.
void LayerPass::attention_backward(const Piece& piece, const float* dy, float* dx,
                                   const std::array<float*, kSlots>& grads, const Memory& m) const {
  const int64_t rows = piece.rows, C = s_.width, W = s_.qkv;
  const float *x = a_.x + piece.first * C, *qkv = a_.qkv + piece.first * W;
  float *dmixed = m.normed, *dqkv = m.first;
  branch_gradient(piece, dy, a_.keep1, m.branch, grads[kProjBias]);
  products_({m.branch, true}, {{a_.mixed + piece.first * C}}, {C, C, rows},
            {grads[kProjWeight], true}, m.packed);
  products_({m.branch}, weight(kProjWeight), {rows, C, C}, {dmixed}, m.packed);
  for (int64_t r = 0; r < rows; r += s_.tokens) {
    const float* q = qkv + r * W;
    float* dq = dqkv + r * W;
    kernels_.attention_backward(s_.attention(), q, q + s_.k_column(), q + s_.v_column(),
                                dmixed + r * C, dq, dq + s_.k_column(), dq + s_.v_column(),
                                m.second);
  }
  kernels_.sum_rows(dqkv, rows, W, grads[kQkvBias]);
  kernels_.layer_norm(x, rows, C, p(kNorm1Weight), p(kNorm1Bias), kEps, m.normed);
  products_({dqkv, true}, {{m.normed}}, {W, C, rows}, {grads[kQkvWeight], true}, m.packed);
  products_({dqkv}, weight(kQkvWeight), {rows, C, W}, {m.normed}, m.packed);
  kernels_.layer_norm_backward(x, m.normed, dy, rows, C, p(kNorm1Weight), kEps, dx,
                               grads[kNorm1Weight], grads[kNorm1Bias]);
}

}  // namespace nestvit::train

// One encoder layer, forward and backward, piece by piece. Shapes: a piece has R rows (tokens),
// whole blocks of them; W = C + 2*kv_heads*D is the width of q, k and v together; M is the MLP's.
#include "train/fused.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/training.h"
#include "train/fused_pieces.h"

// libtorch's own BLAS, which torch::mm calls; column-major, as Fortran has it.
extern "C" void sgemm_(const char* transa, const char* transb, const int* m, const int* n,
                       const int* k, const float* alpha, const float* a, const int* lda,
                       const float* b, const int* ldb, const float* beta, float* c, const int* ldc);

namespace nestvit::train {
namespace {

using kernels::AttentionShape;
using torch::Tensor;

constexpr float kEps = 1e-6f;  // of the norms; reference.md A
// The parameters, in the order in which apply() takes them and backward() returns their gradients.
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

// c [m, n] = beta * c + op(a) op(b), row-major and densely packed; op turns where its flag is set.
struct Operand {
  const float* data;
  bool turned = false;
};
void gemm(Operand a, Operand b, int64_t m, int64_t n, int64_t k, float beta, float* c) {
  // Row-major c is column-major c^T = op(b)^T op(a)^T.
  const int rows = static_cast<int>(m), cols = static_cast<int>(n), depth = static_cast<int>(k);
  const int lda = a.turned ? rows : depth, ldb = b.turned ? depth : cols;
  const float one = 1;
  sgemm_(b.turned ? "T" : "N", a.turned ? "T" : "N", &cols, &rows, &depth, &one, b.data, &ldb,
         a.data, &lda, &beta, c, &cols);
}

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
  AttentionShape attention() const { return {tokens, heads, head_dim(), kv_heads, qkv, width}; }
};

// Runs work(share) for every share, each on a thread.
template <typename Work>
void in_parallel(size_t shares, const Work& work) {
  at::parallel_for(0, static_cast<int64_t>(shares), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) work(static_cast<size_t>(i));
  });
}

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

const float* values(const Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; }

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

class Layer {
 public:
  Layer(const Sizes& sizes, const Arrays& arrays, bool tanh)
      : s_(sizes), a_(arrays), tanh_(tanh), kernels_(*kernels::training_kernels().front()) {}

  int64_t forward_scratch(int64_t rows) const {
    return rows * (2 * s_.width + s_.mlp) + kernels::attention_scratch(s_.attention());
  }
  int64_t backward_scratch(int64_t rows) const {
    return rows * (3 * s_.width + 2 * std::max(s_.mlp, s_.qkv)) +
           kernels::attention_scratch(s_.attention());
  }

  void forward(const Piece& piece, float* y, float* scratch) const {
    const int64_t C = s_.width, count = piece.rows * C;
    const float* x = a_.x + piece.first * C;
    float* middle = a_.middle + piece.first * C;
    y += piece.first * C;
    piece.attends ? attention_forward(piece, x, middle, scratch) : copy(x, count, middle);
    piece.mixes ? mlp_forward(piece, middle, y, scratch) : copy(middle, count, y);
  }

  // dy, dx [rows, C] of all pieces; `grads` by Slot are added to.
  void backward(const Piece& piece, const float* dy, float* dx,
                const std::array<float*, kSlots>& grads, float* scratch) const {
    const int64_t C = s_.width, wide = std::max(s_.mlp, s_.qkv);
    float *dmiddle = scratch, *normed = dmiddle + piece.rows * C, *branch = normed + piece.rows * C,
          *first = branch + piece.rows * C, *second = first + piece.rows * wide,
          *heads = second + piece.rows * wide;
    dy += piece.first * C;
    dx += piece.first * C;
    piece.mixes ? mlp_backward(piece, dy, dmiddle, grads, {normed, branch, first, second})
                : copy(dy, piece.rows * C, dmiddle);
    piece.attends ? attention_backward(piece, dmiddle, dx, grads, {normed, branch, first, heads})
                  : copy(dmiddle, piece.rows * C, dx);
  }

 private:
  const float* p(Slot slot) const { return a_.params[slot]; }

  static void copy(const float* from, int64_t count, float* to) { std::copy_n(from, count, to); }

  // y = x + keep1 * proj(attention(norm1(x)))
  void attention_forward(const Piece& piece, const float* x, float* y, float* scratch) const {
    const int64_t rows = piece.rows, C = s_.width;
    float *normed = scratch, *branch = normed + rows * C, *heads = branch + rows * C;
    float *qkv = a_.qkv + piece.first * s_.qkv, *mixed = a_.mixed + piece.first * C;
    kernels_.layer_norm(x, rows, C, p(kNorm1Weight), p(kNorm1Bias), kEps, normed);
    gemm({normed}, {p(kQkvWeight), true}, rows, s_.qkv, C, 0, qkv);
    kernels_.add_bias(qkv, rows, s_.qkv, p(kQkvBias));
    for (int64_t r = 0; r < rows; r += s_.tokens) {
      const float* q = qkv + r * s_.qkv;
      kernels_.attention(s_.attention(), q, q + s_.k_column(), q + s_.v_column(), mixed + r * C,
                         heads);
    }
    gemm({mixed}, {p(kProjWeight), true}, rows, C, C, 0, branch);
    by_image(s_, piece, a_.keep1, [&](int64_t r, int64_t count, float keep) {
      kernels_.add_branch(x + r * C, branch + r * C, p(kProjBias), keep, count, C, y + r * C);
    });
  }

  // y = x + keep2 * fc2(gelu(fc1(norm2(x))))
  void mlp_forward(const Piece& piece, const float* x, float* y, float* scratch) const {
    const int64_t rows = piece.rows, C = s_.width, M = s_.mlp;
    float *normed = scratch, *branch = normed + rows * C, *active = branch + rows * C;
    float* hidden = a_.hidden + piece.first * M;
    kernels_.layer_norm(x, rows, C, p(kNorm2Weight), p(kNorm2Bias), kEps, normed);
    gemm({normed}, {p(kFc1Weight), true}, rows, M, C, 0, hidden);
    kernels_.bias_gelu(hidden, p(kFc1Bias), rows, M, tanh_, active);
    gemm({active}, {p(kFc2Weight), true}, rows, C, M, 0, branch);
    by_image(s_, piece, a_.keep2, [&](int64_t r, int64_t count, float keep) {
      kernels_.add_branch(x + r * C, branch + r * C, p(kFc2Bias), keep, count, C, y + r * C);
    });
  }

  // scale_and_sum over the images of a piece.
  void branch_gradient(const Piece& piece, const float* dy, const float* keep, float* branch,
                       float* sum) const {
    by_image(s_, piece, keep, [&](int64_t r, int64_t count, float scale) {
      kernels_.scale_and_sum(dy + r * s_.width, scale, count, s_.width, branch + r * s_.width, sum);
    });
  }

  struct Memory {
    float *normed, *branch;  // [rows, C]
    float *first, *second;   // [rows, max(M, W)]; of attention, `second` is the heads' scratch
  };

  // Of mlp_forward: dmiddle from dy.
  void mlp_backward(const Piece& piece, const float* dy, float* dmiddle,
                    const std::array<float*, kSlots>& grads, const Memory& m) const {
    const int64_t rows = piece.rows, C = s_.width, M = s_.mlp;
    const float* middle = a_.middle + piece.first * C;
    float *active = m.first, *dhidden = m.second;
    branch_gradient(piece, dy, a_.keep2, m.branch, grads[kFc2Bias]);
    gemm({m.branch}, {p(kFc2Weight)}, rows, M, C, 0, dhidden);
    kernels_.bias_gelu_backward(a_.hidden + piece.first * M, p(kFc1Bias), rows, M, tanh_, active,
                                dhidden, grads[kFc1Bias]);
    gemm({m.branch, true}, {active}, C, M, rows, 1, grads[kFc2Weight]);
    kernels_.layer_norm(middle, rows, C, p(kNorm2Weight), p(kNorm2Bias), kEps, m.normed);
    gemm({dhidden, true}, {m.normed}, M, C, rows, 1, grads[kFc1Weight]);
    gemm({dhidden}, {p(kFc1Weight)}, rows, C, M, 0, m.normed);
    kernels_.layer_norm_backward(middle, m.normed, dy, rows, C, p(kNorm2Weight), kEps, dmiddle,
                                 grads[kNorm2Weight], grads[kNorm2Bias]);
  }

  // Of attention_forward: dx from dy.
  void attention_backward(const Piece& piece, const float* dy, float* dx,
                          const std::array<float*, kSlots>& grads, const Memory& m) const {
    const int64_t rows = piece.rows, C = s_.width, W = s_.qkv;
    const float *x = a_.x + piece.first * C, *qkv = a_.qkv + piece.first * W;
    float *dmixed = m.normed, *dqkv = m.first;
    branch_gradient(piece, dy, a_.keep1, m.branch, grads[kProjBias]);
    gemm({m.branch, true}, {a_.mixed + piece.first * C}, C, C, rows, 1, grads[kProjWeight]);
    gemm({m.branch}, {p(kProjWeight)}, rows, C, C, 0, dmixed);
    for (int64_t r = 0; r < rows; r += s_.tokens) {
      const float* q = qkv + r * W;
      float* dq = dqkv + r * W;
      kernels_.attention_backward(s_.attention(), q, q + s_.k_column(), q + s_.v_column(),
                                  dmixed + r * C, dq, dq + s_.k_column(), dq + s_.v_column(),
                                  m.second);
    }
    kernels_.sum_rows(dqkv, rows, W, grads[kQkvBias]);
    kernels_.layer_norm(x, rows, C, p(kNorm1Weight), p(kNorm1Bias), kEps, m.normed);
    gemm({dqkv, true}, {m.normed}, W, C, rows, 1, grads[kQkvWeight]);
    gemm({dqkv}, {p(kQkvWeight)}, rows, C, W, 0, m.normed);
    kernels_.layer_norm_backward(x, m.normed, dy, rows, C, p(kNorm1Weight), kEps, dx,
                                 grads[kNorm1Weight], grads[kNorm1Bias]);
  }

  Sizes s_;
  Arrays a_;
  bool tanh_;
  const kernels::TrainingKernels& kernels_;
};

int64_t most_rows(const std::vector<Piece>& pieces) {
  int64_t most = 0;
  for (const Piece& piece : pieces) most = std::max(most, piece.rows);
  return most;
}

// Gradients of all parameters lie one after the other, once per share; the sum over the shares, in
// order, ends in the first.
class GradientSums {
 public:
  GradientSums(const std::vector<Tensor>& params, size_t shares) : shares_(shares) {
    for (const Tensor& param : params) {
      offsets_.push_back(size_);
      size_ += (param.numel() + 15) / 16 * 16;  // each on a cache line of its own
    }
    memory_ = torch::empty({static_cast<int64_t>(shares), size_}, params.front().options());
  }

  std::array<float*, kSlots> cleared(size_t share) const {
    float* base = memory_.mutable_data_ptr<float>() + static_cast<int64_t>(share) * size_;
    std::fill_n(base, size_, 0.0f);
    std::array<float*, kSlots> result{};
    for (size_t i = 0; i < kSlots; ++i) result[i] = base + offsets_[i];
    return result;
  }

  std::vector<Tensor> sums(const std::vector<Tensor>& params) const {
    Tensor total = memory_[0];
    for (size_t i = 1; i < shares_; ++i) total += memory_[static_cast<int64_t>(i)];
    std::vector<Tensor> result;
    for (size_t i = 0; i < kSlots; ++i)
      result.push_back(total.narrow(0, offsets_[i], params[i].numel()).view(params[i].sizes()));
    return result;
  }

 private:
  size_t shares_;
  std::vector<int64_t> offsets_;
  int64_t size_ = 0;
  Tensor memory_;  // [shares, size]
};

Sizes sizes_of(const Tensor& x, const std::vector<Tensor>& params, int64_t heads,
               int64_t kv_heads) {
  return {x.size(0),
          x.size(1),
          x.size(2),
          x.size(3),
          params[kQkvWeight].size(0),
          params[kFc1Weight].size(0),
          heads,
          kv_heads};
}

// The tensors that backward needs, in the order in which they are saved: x, the parameters, the
// two drop-path factors, and what forward computed.
struct Saved {
  Tensor x;
  std::vector<Tensor> params;
  Tensor keep1, keep2, qkv, mixed, middle, hidden;

  Arrays arrays() const {
    Arrays a{values(x),
             {},
             values(keep1),
             values(keep2),
             qkv.mutable_data_ptr<float>(),
             mixed.mutable_data_ptr<float>(),
             middle.mutable_data_ptr<float>(),
             hidden.mutable_data_ptr<float>()};
    for (size_t i = 0; i < kSlots; ++i) a.params[i] = values(params[i]);
    return a;
  }
  std::vector<Tensor> list() const {
    std::vector<Tensor> all = {x};
    all.insert(all.end(), params.begin(), params.end());
    all.insert(all.end(), {keep1, keep2, qkv, mixed, middle, hidden});
    return all;
  }
  static Saved from(const std::vector<Tensor>& all) {
    const auto* rest = all.data() + 1 + kSlots;
    return {all[0],  {all.begin() + 1, all.begin() + 1 + kSlots},
            rest[0], rest[1],
            rest[2], rest[3],
            rest[4], rest[5]};
  }
};

// Function::apply knows no undefined tensors.
using Factors = std::optional<Tensor>;
Factors factors(const Tensor& keep) { return keep.defined() ? Factors(keep) : Factors(); }

std::vector<std::vector<Piece>> shares_of(const Sizes& s, const Saved& saved) {
  return share_out({s.images, s.blocks, s.tokens, values(saved.keep1), values(saved.keep2),
                    s.attention_cost(), s.mlp_cost()},
                   at::get_num_threads());
}

class EncoderFunction : public torch::autograd::Function<EncoderFunction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input,
                        torch::TensorList parameters, const Factors& keep1, const Factors& keep2,
                        int64_t heads, int64_t kv_heads, bool tanh) {
    Saved saved;
    saved.x = input.contiguous();
    for (const Tensor& parameter : parameters) saved.params.push_back(parameter.contiguous());
    saved.keep1 = keep1.value_or(Tensor());
    saved.keep2 = keep2.value_or(Tensor());
    const Sizes s = sizes_of(saved.x, saved.params, heads, kv_heads);
    const auto make = [&](int64_t width) {
      return torch::empty({s.rows(), width}, saved.x.options());
    };
    saved.qkv = make(s.qkv);
    saved.mixed = make(s.width);
    saved.middle = make(s.width);
    saved.hidden = make(s.mlp);
    Tensor y = torch::empty_like(saved.x);

    const Layer layer(s, saved.arrays(), tanh);
    const auto shares = shares_of(s, saved);
    float* out = y.mutable_data_ptr<float>();
    const Tensor scratch = make_scratch(
        shares, [&](int64_t rows) { return layer.forward_scratch(rows); }, y);
    in_parallel(shares.size(), [&](size_t i) {
      for (const Piece& piece : shares[i]) layer.forward(piece, out, part(scratch, i));
    });
    context->save_for_backward(saved.list());
    context->saved_data["heads"] = heads;
    context->saved_data["kv_heads"] = kv_heads;
    context->saved_data["tanh"] = tanh;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const Saved saved = Saved::from(context->get_saved_variables());
    const Sizes s = sizes_of(saved.x, saved.params, context->saved_data["heads"].toInt(),
                             context->saved_data["kv_heads"].toInt());
    const Layer layer(s, saved.arrays(), context->saved_data["tanh"].toBool());
    const auto shares = shares_of(s, saved);
    const Tensor dy = outputs[0].contiguous();
    Tensor dx = torch::empty_like(dy);
    const GradientSums grads(saved.params, shares.size());
    const float* from = dy.const_data_ptr<float>();
    float* to = dx.mutable_data_ptr<float>();
    const Tensor scratch = make_scratch(
        shares, [&](int64_t rows) { return layer.backward_scratch(rows); }, dy);
    in_parallel(shares.size(), [&](size_t i) {
      const auto own = grads.cleared(i);
      for (const Piece& piece : shares[i]) layer.backward(piece, from, to, own, part(scratch, i));
    });
    torch::autograd::variable_list result = {dx};
    for (const Tensor& grad : grads.sums(saved.params)) result.push_back(grad);
    result.resize(1 + kSlots + 5);  // none for the factors and the numbers
    return result;
  }

 private:
  // [shares, floats]
  template <typename Size>
  static Tensor make_scratch(const std::vector<std::vector<Piece>>& shares, const Size& size,
                             const Tensor& like) {
    int64_t most = 0;
    for (const auto& pieces : shares) most = std::max(most, size(most_rows(pieces)));
    return torch::empty({static_cast<int64_t>(shares.size()), (most + 15) / 16 * 16},
                        like.options());
  }
  static float* part(const Tensor& scratch, size_t share) {
    return scratch.mutable_data_ptr<float>() + static_cast<int64_t>(share) * scratch.size(1);
  }
};

}  // namespace

bool fused_covers(const Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == torch::kFloat32 &&
         !at::autocast::is_autocast_enabled(at::kCPU);
}

Tensor encoder_layer(const Tensor& x, const FusedLayer& l) {
  const std::array<Tensor, kSlots> parameters = {
      l.norm1_weight, l.norm1_bias, l.qkv_weight, l.qkv_bias, l.proj_weight, l.proj_bias,
      l.norm2_weight, l.norm2_bias, l.fc1_weight, l.fc1_bias, l.fc2_weight,  l.fc2_bias};
  return EncoderFunction::apply(x, torch::TensorList(parameters), factors(l.keep1),
                                factors(l.keep2), l.heads, l.kv_heads, l.tanh_gelu);
}

}  // namespace nestvit::train

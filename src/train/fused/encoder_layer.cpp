// A fused layer as one operation of libtorch's graph: deals pieces to threads and saves what the
// backward needs. The arithmetic is in passes.h.
#include "train/fused/encoder_layer.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/dispatch.h"
#include "train/fused/passes.h"

namespace nestvit::train {
namespace {

using torch::Tensor;

// Runs work(share) for every share, each on a thread.
template <typename Work>
void in_parallel(size_t shares, const Work& work) {
  at::parallel_for(0, static_cast<int64_t>(shares), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) work(static_cast<size_t>(i));
  });
}

const float* values(const Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; }

int64_t most_rows(const std::vector<Piece>& pieces) {
  int64_t most = 0;
  for (const Piece& piece : pieces) most = std::max(most, piece.rows);
  return most;
}

// The gradients of all parameters, one after the other, once per share. The first becomes the sum
// over the shares, in order.
class GradientSums {
 public:
  GradientSums(const std::vector<Tensor>& params, size_t shares) : shares_(shares) {
    for (const Tensor& param : params) {
      offsets_.push_back(size_);
      size_ += (param.numel() + 15) / 16 * 16;  // each on a cache line of its own
    }
    memory_ = torch::empty({static_cast<int64_t>(shares), size_}, params.front().options());
  }

  Gradients cleared(size_t share) const {
    float* base = memory_.mutable_data_ptr<float>() + static_cast<int64_t>(share) * size_;
    std::fill_n(base, size_, 0.0f);
    Gradients result{};
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
  return {.images = x.size(0),
          .blocks = x.size(1),
          .tokens = x.size(2),
          .width = x.size(3),
          .qkv = params[kQkvWeight].size(0),
          .mlp = params[kFc1Weight].size(0),
          .heads = heads,
          .kv_heads = kv_heads};
}

// The tensors that backward needs, in the order in which they are saved: x, the parameters, the
// two drop-path factors, and the arrays that forward computed.
struct Saved {
  Tensor x;
  std::vector<Tensor> params;
  Tensor keep1, keep2, qkv, attended, middle, hidden;

  Arrays arrays() const {
    Arrays a{.x = values(x),
             .params = {},
             .keep1 = values(keep1),
             .keep2 = values(keep2),
             .qkv = qkv.mutable_data_ptr<float>(),
             .attended = attended.mutable_data_ptr<float>(),
             .middle = middle.mutable_data_ptr<float>(),
             .hidden = hidden.mutable_data_ptr<float>()};
    for (size_t i = 0; i < kSlots; ++i) a.params[i] = values(params[i]);
    return a;
  }
  std::vector<Tensor> list() const {
    std::vector<Tensor> all = {x};
    all.insert(all.end(), params.begin(), params.end());
    all.insert(all.end(), {keep1, keep2, qkv, attended, middle, hidden});
    return all;
  }
  static Saved from(const std::vector<Tensor>& all) {
    const auto* rest = all.data() + 1 + kSlots;
    return {.x = all[0],
            .params = {all.begin() + 1, all.begin() + 1 + kSlots},
            .keep1 = rest[0],
            .keep2 = rest[1],
            .qkv = rest[2],
            .attended = rest[3],
            .middle = rest[4],
            .hidden = rest[5]};
  }
};

// Function::apply takes no undefined tensors.
using Factors = std::optional<Tensor>;
Factors factors(const Tensor& keep) { return keep.defined() ? Factors(keep) : Factors(); }

std::vector<std::vector<Piece>> shares_of(const Sizes& s, const Saved& saved) {
  return share_out({.images = s.images,
                    .blocks = s.blocks,
                    .tokens = s.tokens,
                    .keep1 = values(saved.keep1),
                    .keep2 = values(saved.keep2),
                    .attention_cost = s.attention_cost(),
                    .mlp_cost = s.mlp_cost()},
                   at::get_num_threads());
}

class EncoderFunction : public torch::autograd::Function<EncoderFunction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input,
                        torch::TensorList parameters, const Factors& keep1, const Factors& keep2,
                        int64_t heads, int64_t kv_heads, bool tanh, bool bf16) {
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
    saved.attended = make(s.width);
    saved.middle = make(s.width);
    saved.hidden = make(s.mlp);
    Tensor y = torch::empty_like(saved.x);

    const LayerPass pass =
        make_pass(s, saved, {.pass = Pass::kForward, .tanh_gelu = tanh, .bf16 = bf16});
    const auto shares = shares_of(s, saved);
    float* out = y.mutable_data_ptr<float>();
    const Tensor scratch = make_scratch(shares, pass, y);
    in_parallel(shares.size(), [&](size_t i) {
      for (const Piece& piece : shares[i]) pass.forward(piece, out, part(scratch, i));
    });
    context->save_for_backward(saved.list());
    context->saved_data["heads"] = heads;
    context->saved_data["kv_heads"] = kv_heads;
    context->saved_data["tanh"] = tanh;
    context->saved_data["bf16"] = bf16;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    const Saved saved = Saved::from(context->get_saved_variables());
    const Sizes s = sizes_of(saved.x, saved.params, context->saved_data["heads"].toInt(),
                             context->saved_data["kv_heads"].toInt());
    const LayerPass pass = make_pass(s, saved,
                                     {.pass = Pass::kBackward,
                                      .tanh_gelu = context->saved_data["tanh"].toBool(),
                                      .bf16 = context->saved_data["bf16"].toBool()});
    const auto shares = shares_of(s, saved);
    const Tensor dy = outputs[0].contiguous();
    Tensor dx = torch::empty_like(dy);
    const GradientSums grads(saved.params, shares.size());
    const float* from = dy.const_data_ptr<float>();
    float* to = dx.mutable_data_ptr<float>();
    const Tensor scratch = make_scratch(shares, pass, dy);
    in_parallel(shares.size(), [&](size_t i) {
      const auto own = grads.cleared(i);
      for (const Piece& piece : shares[i]) pass.backward(piece, from, to, own, part(scratch, i));
    });
    torch::autograd::variable_list result = {dx};
    for (const Tensor& grad : grads.sums(saved.params)) result.push_back(grad);
    result.resize(1 + kSlots + 6);  // the two factors and four settings have no gradient
    return result;
  }

 private:
  static LayerPass make_pass(const Sizes& s, const Saved& saved, const LayerKind& kind) {
    LayerPass pass(s, saved.arrays(), kind);
    if (kind.bf16)
      in_parallel(LayerPass::kWeights.size(),
                  [&](size_t i) { pass.pack_weight(LayerPass::kWeights[i]); });
    return pass;
  }

  // [shares, floats]
  static Tensor make_scratch(const std::vector<std::vector<Piece>>& shares, const LayerPass& pass,
                             const Tensor& like) {
    int64_t most = 0;
    for (const auto& pieces : shares) most = std::max(most, pass.scratch(most_rows(pieces)));
    return torch::empty({static_cast<int64_t>(shares.size()), (most + 15) / 16 * 16},
                        like.options());
  }
  static float* part(const Tensor& scratch, size_t share) {
    return scratch.mutable_data_ptr<float>() + static_cast<int64_t>(share) * scratch.size(1);
  }
};

bool autocast_to_bf16() {
  return at::autocast::is_autocast_enabled(at::kCPU) &&
         at::autocast::get_autocast_dtype(at::kCPU) == at::kBFloat16;
}
}  // namespace

bool fused_covers(const Tensor& x) {
  if (!x.device().is_cpu() || x.scalar_type() != torch::kFloat32) return false;
  return !at::autocast::is_autocast_enabled(at::kCPU) ||
         (autocast_to_bf16() && kernels::bf16_kernels_pay());
}

Tensor head_major(const Tensor& proj_weight, int64_t heads) {
  const int64_t c = proj_weight.size(0);
  return proj_weight.view({c, c / heads, heads}).transpose(1, 2).reshape({c, c});
}

FusedLayer fused_layer(const torch::nn::Module& module, int64_t heads, bool tanh_gelu,
                       const std::array<Tensor, 2>& keep) {
  const auto parameters = module.named_parameters();
  const bool multi_query = parameters.contains("attn.kv.weight");
  const auto joined = [&](const std::string& name) {
    return multi_query ? torch::cat({parameters["attn.q." + name], parameters["attn.kv." + name]})
                       : parameters["attn.qkv." + name];
  };
  const Tensor qkv_weight = joined("weight");
  const bool qkv_bias = parameters.contains(multi_query ? "attn.q.bias" : "attn.qkv.bias");
  return {
      .norm1_weight = parameters["norm1.weight"],
      .norm1_bias = parameters["norm1.bias"],
      .qkv_weight = qkv_weight,
      .qkv_bias =
          qkv_bias ? joined("bias") : torch::zeros({qkv_weight.size(0)}, qkv_weight.options()),
      .proj_weight = head_major(parameters["attn.proj.weight"], heads),
      .proj_bias = parameters["attn.proj.bias"],
      .norm2_weight = parameters["norm2.weight"],
      .norm2_bias = parameters["norm2.bias"],
      .fc1_weight = parameters["mlp.fc1.weight"],
      .fc1_bias = parameters["mlp.fc1.bias"],
      .fc2_weight = parameters["mlp.fc2.weight"],
      .fc2_bias = parameters["mlp.fc2.bias"],
      .keep1 = keep[0],
      .keep2 = keep[1],
      .heads = heads,
      .kv_heads = multi_query ? 1 : heads,
      .tanh_gelu = tanh_gelu,
  };
}

Tensor encoder_layer(const Tensor& x, const FusedLayer& l) {
  const std::array<Tensor, kSlots> parameters = {
      l.norm1_weight, l.norm1_bias, l.qkv_weight, l.qkv_bias, l.proj_weight, l.proj_bias,
      l.norm2_weight, l.norm2_bias, l.fc1_weight, l.fc1_bias, l.fc2_weight,  l.fc2_bias};
  return EncoderFunction::apply(x, torch::TensorList(parameters), factors(l.keep1),
                                factors(l.keep2), l.heads, l.kv_heads, l.tanh_gelu,
                                autocast_to_bf16());
}

}  // namespace nestvit::train

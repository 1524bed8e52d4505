// Adam in one pass: cuts parameters into pieces and calls the kernel on each.
#include "train/fused/adam.h"

#include <algorithm>

#include "kernels/dispatch.h"

namespace nestvit::train {
namespace {

// Values of a piece, whose four arrays fit in a core's cache.
constexpr int64_t kPiece = 1 << 15;

struct AdamPiece {
  const AdamParameter* parameter;
  int64_t first, count;
};

kernels::AdamStep kernel_step(const AdamSettings& s, const AdamParameter& p) {
  const auto narrow = [](double x) { return static_cast<float>(x); };
  return {.beta1 = narrow(s.beta1),
          .beta2 = narrow(s.beta2),
          .eps = narrow(s.eps),
          .one_minus_beta1 = narrow(1 - s.beta1),
          .one_minus_beta2 = narrow(1 - s.beta2),
          .correction1 = narrow(s.correction1),
          .correction2 = narrow(s.correction2),
          .rate = narrow(p.rate),
          .decay = narrow(p.decay)};
}

}  // namespace

bool adam_pass_covers(const AdamParameter& p) {
  for (const torch::Tensor& t : {p.value, p.gradient, p.first, p.second})
    if (!t.device().is_cpu() || t.scalar_type() != torch::kFloat32 || !t.is_contiguous())
      return false;
  return true;
}

void adam_pass(const AdamSettings& s, const std::vector<AdamParameter>& parameters) {
  std::vector<AdamPiece> pieces;
  for (const AdamParameter& parameter : parameters)
    for (int64_t first = 0; first < parameter.value.numel(); first += kPiece)
      pieces.push_back({&parameter, first, std::min(kPiece, parameter.value.numel() - first)});
  const auto adam = kernels::training_kernels().front()->adam;
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto& [p, first, count] = pieces[static_cast<size_t>(i)];
      adam(kernel_step(s, *p), count, p->gradient.const_data_ptr<float>() + first,
           p->first.mutable_data_ptr<float>() + first, p->second.mutable_data_ptr<float>() + first,
           p->value.mutable_data_ptr<float>() + first);
    }
  });
}

}  // namespace nestvit::train

// oneDNN behind gemm.h: the only file that includes dnnl.hpp.
#include "runtime/plain/gemm.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <dnnl.hpp>
#include <map>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/check.h"

namespace nestvit {
namespace {

using dnnl::memory;
using Dims = memory::dims;
using Tag = memory::format_tag;

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& cpu_stream() {  // of the calling thread
  thread_local dnnl::stream stream(cpu());
  return stream;
}

memory::desc f32(const Dims& dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }

// oneDNN's failures (no memory, an impossible size) as ours.
template <class Body>
auto translated(const char* what, Body body) {
  try {
    return body();
  } catch (const dnnl::error& e) {
    throw Error(fmt::format("{} failed: {}", what, e.message),
                "it may be out of memory: try a smaller batch or model");
  }
}

// oneDNN's own fallback, hundreds of times slower than the rest.
template <class Descriptor>
bool is_reference(const Descriptor& descriptor) {
  return std::string_view(descriptor.impl_info_str()).find("ref") != std::string_view::npos;
}

memory reordered(const memory& from, const memory::desc& layout) {
  if (from.get_desc() == layout) return from;
  memory to(layout, cpu());
  dnnl::reorder(from, to).execute(cpu_stream(), const_cast<memory&>(from), to);
  cpu_stream().wait();
  return to;
}

memory copied(const memory::desc& desc, std::span<const float> values) {
  memory copy(desc, cpu());
  NESTVIT_CHECK(desc.get_size() == values.size_bytes());
  std::copy(values.begin(), values.end(), static_cast<float*>(copy.get_data_handle()));
  return copy;
}

// A planned primitive with its arguments; only the pointers of input and output change from call to
// call.
struct Planned {
  dnnl::primitive primitive;
  memory x, y;
  std::unordered_map<int, memory> arguments;

  void run(const float* input, float* output) {
    x.set_data_handle(const_cast<float*>(input));
    y.set_data_handle(output);
    primitive.execute(cpu_stream(), arguments);
    cpu_stream().wait();
  }
};

template <class Descriptor>
Planned planned(const Descriptor& descriptor, dnnl::primitive primitive, const memory& weight,
                const memory& bias) {
  Planned p{std::move(primitive),
            memory(descriptor.src_desc(), cpu(), DNNL_MEMORY_NONE),
            memory(descriptor.dst_desc(), cpu(), DNNL_MEMORY_NONE),
            {}};
  p.arguments = {{DNNL_ARG_SRC, p.x}, {DNNL_ARG_DST, p.y}, {DNNL_ARG_WEIGHTS, weight}};
  if (bias) p.arguments.emplace(DNNL_ARG_BIAS, bias);
  return p;
}

// The layout that `describe` (weight layout -> descriptor) works best with, trying `packed` first
// so that all sizes share one copy of the weight.
template <class Describe>
auto described(const memory& packed, const memory::desc& any, const Describe& describe) {
  try {
    auto descriptor = describe(packed.get_desc());
    if (!is_reference(descriptor)) return descriptor;
  } catch (const dnnl::error&) {  // no implementation for that layout at this size
  }
  return describe(any);
}

bool sgemm(char transpose_b, MatrixView a, MatrixView b, int64_t m, int64_t n, int64_t k, float* c,
           int64_t c_stride) {
  return dnnl_sgemm('N', transpose_b, m, n, k, 1.0f, a.data, a.stride, b.data, b.stride, 0.0f, c,
                    c_stride) == dnnl_success;
}

}  // namespace

struct Linear::Impl {
  int64_t n, k;
  memory weight, bias;
  std::map<std::pair<int64_t, bool>, Planned> plans;  // by (m, accumulate)

  dnnl::matmul::primitive_desc describe(int64_t m, bool accumulate,
                                        const memory::desc& layout) const {
    dnnl::primitive_attr attributes;
    if (accumulate) {
      dnnl::post_ops sum;
      sum.append_sum();
      attributes.set_post_ops(sum);
    }
    return {cpu(),
            f32({m, k}, Tag::ab),
            layout,
            bias ? bias.get_desc() : memory::desc(),
            f32({m, n}, Tag::ab),
            attributes};
  }

  void run(const float* x, int64_t m, float* y, bool accumulate) {
    translated("a matrix product", [&] {
      auto found = plans.find({m, accumulate});
      if (found == plans.end()) {
        const auto descriptor =
            described(weight, f32({k, n}, Tag::any),
                      [&](const memory::desc& layout) { return describe(m, accumulate, layout); });
        found = plans
                    .emplace(std::pair{m, accumulate},
                             planned(descriptor, dnnl::matmul(descriptor),
                                     reordered(weight, descriptor.weights_desc()), bias))
                    .first;
      }
      found->second.run(x, y);
    });
  }
};

Linear::Linear(std::span<const float> weight, std::span<const float> bias, int64_t n, int64_t k,
               int64_t usual_m)
    : impl_(new Impl{n, k, {}, {}, {}}) {
  NESTVIT_CHECK(n > 0 && k > 0);  // oneDNN divides by them
  translated("packing the weight of a linear layer", [&] {
    if (!bias.empty()) impl_->bias = copied(f32({1, n}, Tag::ab), bias);
    const auto layout = impl_->describe(usual_m, false, f32({k, n}, Tag::any)).weights_desc();
    // W [n, k] row by row is [k, n] column by column.
    impl_->weight = reordered(copied(f32({k, n}, Tag::ba), weight), layout);
  });
}
Linear::~Linear() = default;
Linear::Linear(Linear&&) noexcept = default;

void Linear::operator()(const float* x, int64_t m, float* y) const { impl_->run(x, m, y, false); }
void Linear::accumulate(const float* x, int64_t m, float* y) const { impl_->run(x, m, y, true); }

struct Conv3x3::Impl {
  int64_t out, in, h, w;
  memory weight, bias;
  std::map<int64_t, Planned> plans;  // by B

  dnnl::convolution_forward::primitive_desc describe(int64_t B, const memory::desc& layout) const {
    return {cpu(),
            dnnl::prop_kind::forward_inference,
            dnnl::algorithm::convolution_direct,
            f32({B, in, h, w}, Tag::nhwc),
            layout,
            bias.get_desc(),
            f32({B, out, h, w}, Tag::nhwc),
            /*strides=*/{1, 1},
            /*padding_l=*/{1, 1},
            /*padding_r=*/{1, 1}};
  }
};

Conv3x3::Conv3x3(std::span<const float> weight, std::span<const float> bias, int64_t out,
                 int64_t in, int64_t h, int64_t w)
    : impl_(new Impl{out, in, h, w, {}, {}, {}}) {
  translated("packing the weight of a convolution", [&] {
    impl_->bias = copied(f32({out}, Tag::a), bias);
    const auto layout = impl_->describe(1, f32({out, in, 3, 3}, Tag::any)).weights_desc();
    impl_->weight = reordered(copied(f32({out, in, 3, 3}, Tag::oihw), weight), layout);
  });
}
Conv3x3::~Conv3x3() = default;
Conv3x3::Conv3x3(Conv3x3&&) noexcept = default;

void Conv3x3::operator()(const float* x, int64_t B, float* y) const {
  Impl& conv = *impl_;
  translated("a convolution", [&] {
    auto found = conv.plans.find(B);
    if (found == conv.plans.end()) {
      const auto descriptor =
          described(conv.weight, f32({conv.out, conv.in, 3, 3}, Tag::any),
                    [&](const memory::desc& layout) { return conv.describe(B, layout); });
      found = conv.plans
                  .emplace(B, planned(descriptor, dnnl::convolution_forward(descriptor),
                                      reordered(conv.weight, descriptor.weights_desc()), conv.bias))
                  .first;
    }
    found->second.run(x, y);
  });
}

bool multiply_transposed(MatrixView a, MatrixView b, int64_t m, int64_t n, int64_t k, float* c,
                         int64_t c_stride) {
  return sgemm('T', a, b, m, n, k, c, c_stride);
}

bool multiply(MatrixView a, MatrixView b, int64_t m, int64_t n, int64_t k, float* c,
              int64_t c_stride) {
  return sgemm('N', a, b, m, n, k, c, c_stride);
}

}  // namespace nestvit

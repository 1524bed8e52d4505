// Fitting one model's weights to another configuration, tensor by tensor of the new table.
#include "weights/adapt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>

#include "model/params.h"

namespace nestvit {
namespace {

Tensor new_head(const Param& param, const AdaptOptions& options) {
  if (options.head == ReinitHead::kRandom) return initial_tensor(param, options.seed);
  return Tensor::f32(param.shape, std::vector<float>(static_cast<size_t>(param.size()), 0.0f));
}

// The rows of `head` ([K, C] or [K]) by class, zeros where a class has none.
Tensor moved_head(const Tensor& head, const Param& param, const std::vector<int>& rows) {
  const std::vector<float> source = head.to_f32();
  const int64_t width = param.size() / param.shape[0];
  std::vector<float> target(static_cast<size_t>(param.size()), 0.0f);
  for (size_t k = 0; k < rows.size(); ++k)
    if (rows[k] >= 0 && rows[k] < head.dim(0))
      std::copy_n(source.begin() + rows[k] * width, width,
                  target.begin() + static_cast<int64_t>(k) * width);
  return Tensor::f32(param.shape, std::move(target));
}

// [C, 3, e, e] -> [C, 1, e, e]: a grey image stands for three equal channels, as in timm.
Tensor summed_over_colours(const Tensor& kernel) {
  const int64_t out = kernel.dim(0), in = kernel.dim(1), area = kernel.dim(2) * kernel.dim(3);
  const std::vector<float> source = kernel.to_f32();
  std::vector<float> target(static_cast<size_t>(out * area), 0.0f);
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i)
      for (int64_t k = 0; k < area; ++k) target[o * area + k] += source[(o * in + i) * area + k];
  return Tensor::f32({out, 1, kernel.dim(2), kernel.dim(3)}, std::move(target));
}

bool only_dim_differs(const Tensor& tensor, const Param& param,
                      std::initializer_list<size_t> dims) {
  std::vector<int64_t> shape = tensor.shape();
  if (shape.size() != param.shape.size()) return false;
  for (const size_t dim : dims) shape[dim] = param.shape[dim];
  return shape == param.shape;
}

// The tensor as `param` needs it, or one of another shape when it cannot be.
Tensor fitted(const Tensor& tensor, const Param& param, const AdaptOptions& options) {
  if (tensor.shape() == param.shape) return tensor;
  if (param.name.ends_with(".pos_embed") && only_dim_differs(tensor, param, {1, 2}))
    return resize_pos_embed(tensor, param.shape[1], param.shape[2], options.pos_embed);
  if (is_stem(param.name) && param.shape[1] == 1 && only_dim_differs(tensor, param, {1}))
    return summed_over_colours(tensor);
  return tensor;
}

}  // namespace

bool replaces_head(const Architecture& from, const Architecture& to, ReinitHead head) {
  return head != ReinitHead::kAuto || from.num_classes() != to.num_classes();
}

TensorMap adapt_tensors(const LoadedNetwork& from, const Architecture& to,
                        const AdaptOptions& options) {
  constexpr size_t kNamed = 3;  // tensors in the message
  std::vector<std::string> problems;
  TensorMap result;
  size_t known = 0;
  const bool fresh_head = from.headless || replaces_head(from.config, to, options.head);
  for (const Param& param : parameter_table(to)) {
    const auto found = from.tensors.find(param.name);
    known += found != from.tensors.end();
    if (is_head(param.name) && !options.rows.empty() && found != from.tensors.end()) {
      result.emplace(param.name, moved_head(found->second, param, options.rows));
    } else if (is_head(param.name) && fresh_head) {
      result.emplace(param.name, new_head(param, options));
    } else if (found == from.tensors.end()) {
      problems.push_back(fmt::format("{} {} is missing", param.name, shape_text(param.shape)));
    } else {
      Tensor tensor = fitted(found->second, param, options);
      if (tensor.shape() != param.shape)
        problems.push_back(fmt::format("{} is {}, the model needs {}", param.name,
                                       shape_text(tensor.shape()), shape_text(param.shape)));
      result.emplace(param.name, std::move(tensor));
    }
  }
  if (known < from.tensors.size())
    problems.push_back(
        fmt::format("{} tensors have no place in the model", from.tensors.size() - known));
  if (problems.empty()) return result;
  const size_t count = problems.size();
  if (count > kNamed) problems.resize(kNamed);
  throw Error(
      fmt::format("the weights of {} do not fit: {}{}", from.origin, fmt::join(problems, "; "),
                  count > kNamed ? fmt::format("; and {} more", count - kNamed) : ""),
      "only the image size, the classes and 3 channels to 1 can change; leave model_name and "
      "nest.* out to take the model of the weights");
}

}  // namespace nestvit

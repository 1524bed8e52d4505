// Flax arrays to ours and back: each layout of the table is one axis permutation per Flax array;
// the results stand one below the other. reference.md B.4.
#include "weights/flax/names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "base/check.h"
#include "model/params.h"

namespace nestvit {
namespace {

using Shape = std::vector<int64_t>;

// One Flax array's part in one of our tensors.
struct FlaxPart {
  std::string path;
  Shape shape;             // as Flax stores it
  Shape view;              // the same values with axes split so that `order` can move them
  std::vector<int> order;  // our axis k is the view's axis order[k]
};

int64_t product(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

// [.., D] and [.., 2D] of queries and key-values; C is absent in biases.
std::vector<FlaxPart> qkv_parts(const Param& param, int64_t heads, int64_t head_dim, bool bias) {
  if (bias)
    return {{param.flax[0], {heads, head_dim}, {heads, head_dim}, {0, 1}},
            {param.flax[1], {heads, 2 * head_dim}, {heads, 2, head_dim}, {1, 0, 2}}};
  const int64_t width = param.shape[1];
  return {{param.flax[0], {width, heads, head_dim}, {width, heads, head_dim}, {1, 2, 0}},
          {param.flax[1], {width, heads, 2 * head_dim}, {width, heads, 2, head_dim}, {2, 1, 3, 0}}};
}

std::vector<FlaxPart> parts(const Param& param) {
  const Shape& ours = param.shape;
  const std::string& path = param.flax.at(0);
  const int64_t heads = param.heads;
  const auto one = [&](Shape shape, std::vector<int> order) {
    return std::vector<FlaxPart>{{path, shape, shape, std::move(order)}};
  };
  switch (param.layout) {
    case FlaxLayout::kSame: {
      std::vector<int> order(ours.size());
      std::iota(order.begin(), order.end(), 0);
      return one(ours, order);
    }
    case FlaxLayout::kConv:
      return one({ours[2], ours[3], ours[1], ours[0]}, {3, 2, 0, 1});
    case FlaxLayout::kDense:
      return one({ours[1], ours[0]}, {1, 0});
    case FlaxLayout::kQuery:
      return one({ours[1], heads, ours[0] / heads}, {1, 2, 0});
    case FlaxLayout::kQueryBias:
      return one({heads, ours[0] / heads}, {0, 1});
    case FlaxLayout::kQkv:
      return qkv_parts(param, heads, ours[0] / (3 * heads), false);
    case FlaxLayout::kQkvBias:
      return qkv_parts(param, heads, ours[0] / (3 * heads), true);
    case FlaxLayout::kProjection:
      return one({heads, ours[1] / heads, ours[0]}, {2, 1, 0});
    case FlaxLayout::kGroupNorm:
      return one({1, 1, 1, ours[0]}, {0, 1, 2, 3});
  }
  throw std::logic_error("a layout without a rule");
}

// Calls move(ours, flax) with the two linear positions of every value.
template <class Move>
void for_each_value(const FlaxPart& part, Move move) {
  const size_t rank = part.view.size();
  Shape strides(rank, 1);
  for (size_t axis = rank - 1; axis-- > 0;) strides[axis] = strides[axis + 1] * part.view[axis + 1];
  Shape index(rank, 0);
  const int64_t count = product(part.view);
  for (int64_t at = 0, from = 0; at < count; ++at) {
    move(at, from);
    for (size_t k = rank; k-- > 0;) {
      const int axis = part.order[k];
      from += strides[axis];
      if (++index[k] < part.view[axis]) break;
      from -= index[k] * strides[axis];
      index[k] = 0;
    }
  }
}

const Tensor& find_part(const TensorMap& arrays, const FlaxPart& part, FlaxLayout layout,
                        const std::string& origin) {
  const Tensor& array = find_tensor(arrays, part.path, origin);
  const bool flat = layout == FlaxLayout::kGroupNorm && array.shape() == Shape{part.shape.back()};
  if (array.shape() != part.shape && !flat)
    throw Error(fmt::format("{}: array {} is {}, expected {}", origin, part.path,
                            shape_text(array.shape()), shape_text(part.shape)),
                "the configuration does not belong to these weights");
  return array;
}

void check_all_used(const TensorMap& arrays, const std::set<std::string>& used,
                    const std::string& origin) {
  std::vector<std::string> unknown;
  for (const auto& [name, _] : arrays)
    if (!used.contains(name)) unknown.push_back(name);
  if (unknown.empty()) return;
  const size_t count = unknown.size();
  unknown.resize(std::min<size_t>(count, 3));
  throw Error(fmt::format("{}: {} arrays do not belong to this model, for example {}", origin,
                          count, fmt::join(unknown, ", ")),
              "the configuration does not belong to these weights");
}

}  // namespace

TensorMap from_flax(const TensorMap& params, const TensorMap& batch_stats, const NestConfig& config,
                    const std::string& origin, const std::function<void(const Tensor&)>& used) {
  TensorMap tensors;
  std::set<std::string> known, known_stats;
  for (const Param& param : parameter_table(config)) {
    std::vector<float> values(static_cast<size_t>(param.size()));
    int64_t begin = 0;
    for (const FlaxPart& part : parts(param)) {
      const Tensor& array =
          find_part(param.buffer ? batch_stats : params, part, param.layout, origin);
      const std::vector<float> from = array.to_f32();
      for_each_value(part, [&](int64_t ours, int64_t flax) { values[begin + ours] = from[flax]; });
      begin += product(part.shape);
      (param.buffer ? known_stats : known).insert(part.path);
      used(array);
    }
    NESTVIT_CHECK(begin == param.size());
    tensors.emplace(param.name, Tensor::f32(param.shape, std::move(values)));
  }
  check_all_used(params, known, origin);
  check_all_used(batch_stats, known_stats, origin + " (batch_stats)");
  return tensors;
}

TensorMap to_flax(const TensorMap& tensors, const NestConfig& config, TensorMap* batch_stats) {
  TensorMap params;
  if (batch_stats) batch_stats->clear();
  for (const Param& param : parameter_table(config)) {
    if (param.buffer && !batch_stats) continue;
    const Tensor& tensor = find_tensor(tensors, param.name, "the model");
    if (tensor.shape() != param.shape)
      throw Error(fmt::format("tensor {} is {}, expected {}", param.name,
                              shape_text(tensor.shape()), shape_text(param.shape)));
    const std::vector<float> values = tensor.to_f32();
    int64_t begin = 0;
    for (const FlaxPart& part : parts(param)) {
      std::vector<float> to(static_cast<size_t>(product(part.shape)));
      for_each_value(part, [&](int64_t ours, int64_t flax) { to[flax] = values[begin + ours]; });
      begin += product(part.shape);
      (param.buffer ? *batch_stats : params)
          .emplace(part.path, Tensor::f32(part.shape, std::move(to)));
    }
  }
  return params;
}

}  // namespace nestvit

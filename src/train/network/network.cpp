// From a description to modules.
#include "train/network/network.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include "train/network/batch_norm.h"
#include "train/network/nest.h"
#include "train/network/resnet.h"
#include "weights/tensor.h"

namespace nestvit::train {

namespace {

std::shared_ptr<Network> modules_of(const Architecture& architecture) {
  if (const NestConfig* nest = architecture.nest()) return std::make_shared<NestImpl>(*nest);
  return std::make_shared<ResNet>(*architecture.resnet());
}

}  // namespace

std::shared_ptr<Network> make_network(const Architecture& architecture,
                                      const Group* batch_norm_group) {
  std::shared_ptr<Network> net = modules_of(architecture);
  for (const auto& module : net->modules())
    if (auto* norm = dynamic_cast<HasBatchNorm*>(module.get()))
      norm->batch.group = batch_norm_group;
  return net;
}

void check_input(const torch::Tensor& x, int channels, int size) {
  if (x.dim() != 4 || x.size(1) != channels || x.size(2) != size || x.size(3) != size)
    throw Error(fmt::format("the input has shape {}, the model needs [B, {}, {}, {}]",
                            shape_text(x.sizes().vec()), channels, size, size));
}

}  // namespace nestvit::train

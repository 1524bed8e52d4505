// NCCL when all processes can use it; see backend.h.
#include "train/group/backend.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <climits>
#include <map>

#include "base/log.h"
#include "train/device/cuda_module.h"
#include "train/group/members.h"

namespace nestvit::train {
namespace {

constexpr char kGpu = '+', kReason = '-';

std::string describe_gpu(const torch::Device& device) {
  char host[HOST_NAME_MAX + 1] = "";
  gethostname(host, sizeof host - 1);
  try {
    return fmt::format("{}{} {}", kGpu, host, cuda_module().bus_address(device));
  } catch (const Error& error) {
    return kReason + std::string(error.what());
  }
}

Group::Members& members_of(const Group& group) { return *group.members(); }

void use_nccl(const Group& group) {
  Group::Members& m = members_of(group);
  m.guarded([&] {
    m.nccl = cuda_module().nccl(c10::make_intrusive<c10d::PrefixStore>("nccl", m.store),
                                group.rank(), group.world_size(), m.options.timeout);
    m.processes->setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::BackendType::NCCL, m.nccl);
  });
}

}  // namespace

std::string why_no_nccl(const std::vector<std::string>& gpus) {
  std::map<std::string, size_t> ranks;
  for (size_t rank = 0; rank < gpus.size(); ++rank) {
    const std::string& here = gpus[rank];
    if (here.front() == kReason) return fmt::format("rank {}: {}", rank, here.substr(1));
    const auto [other, fresh] = ranks.try_emplace(here, rank);
    if (!fresh)
      return fmt::format("ranks {} and {} have the same GPU ({})", other->second, rank,
                         here.substr(1));
  }
  return "";
}

void choose_backend(const Group& group, const torch::Device& device) {
  if (!group.exchanges()) return;
  const Backend wanted = members_of(group).options.backend;
  if (device.is_cpu() && wanted == Backend::kNccl)
    throw UsageError("--dist-backend nccl needs GPUs, but the device is cpu",
                     "give --device cuda, or --dist-backend gloo");
  std::string reason = wanted == Backend::kGloo ? "as asked" : "on the CPU";
  if (device.is_cuda() && wanted != Backend::kGloo) {
    reason = why_no_nccl(group.all_gather(describe_gpu(device)));
    if (reason.empty()) use_nccl(group);
  }
  if (!reason.empty() && wanted == Backend::kNccl)
    throw Error(fmt::format("--dist-backend nccl is not possible: {}", reason),
                "start one process for each GPU, or give --dist-backend gloo, which exchanges "
                "through the CPU");
  if (device.is_cuda() && !reason.empty() && wanted == Backend::kAuto)
    log_warning(fmt::format("gradients are exchanged through the CPU, which is slow: {}", reason));
  log_info(fmt::format("gradients      exchanged with {}", reason.empty() ? "NCCL" : "Gloo"));
}

}  // namespace nestvit::train

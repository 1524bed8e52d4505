// c10d's TCPStore and Gloo behind Group.
#include "train/group/group.h"

#include <nestvit/error.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <climits>
#include <cstring>

#include "train/group/members.h"

namespace nestvit::train {
namespace {

using c10d::ProcessGroupGloo;
using std::chrono::milliseconds;

// The address of this machine from which `host` is reached: what the others can reach it by.
std::string address_towards(const std::string& host, uint16_t port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0)
    throw Error(fmt::format("cannot find {}: {}", host, gai_strerror(error)),
                "MASTER_ADDR is the address of the machine of rank 0");
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, freeaddrinfo);
  for (const addrinfo* it = found; it; it = it->ai_next) {
    const int probe = socket(it->ai_family, it->ai_socktype, it->ai_protocol);
    if (probe < 0) continue;
    sockaddr_storage mine{};
    socklen_t size = sizeof mine;
    char text[NI_MAXHOST];
    // Connecting a datagram socket sends nothing: it asks the routing table.
    const bool known = connect(probe, it->ai_addr, it->ai_addrlen) == 0 &&
                       getsockname(probe, reinterpret_cast<sockaddr*>(&mine), &size) == 0 &&
                       getnameinfo(reinterpret_cast<sockaddr*>(&mine), size, text, sizeof text,
                                   nullptr, 0, NI_NUMERICHOST) == 0;
    close(probe);
    if (known) return text;
  }
  throw Error(fmt::format("no way leads to {}", host), "is the network up?");
}

std::shared_ptr<::gloo::transport::Device> device(const Launch& launch) {
  if (const auto name = environment_variable("GLOO_SOCKET_IFNAME"))  // as PyTorch
    return ProcessGroupGloo::createDeviceForInterface(*name);
  return ProcessGroupGloo::createDeviceForHostname(address_towards(launch.host, launch.port));
}

std::string this_process() {
  char host[HOST_NAME_MAX + 1] = "";
  gethostname(host, sizeof host - 1);
  return fmt::format("{}, process {}", host, getpid());
}

c10::intrusive_ptr<c10d::TCPStore> open_store(const Launch& launch, milliseconds patience) {
  c10d::TCPStoreOptions options;
  options.port = launch.port;
  options.isServer = launch.rank == 0 && !launch.meeting_point_held;
  options.waitWorkers = false;
  options.timeout = patience;
  try {
    return c10::make_intrusive<c10d::TCPStore>(launch.host, options);
  } catch (const std::exception& e) {
    const std::string reason = Group::Members::first_line(e.what());
    if (options.isServer)
      throw Error(fmt::format("rank 0 cannot listen at port {}: {}", launch.port, reason),
                  "another job may use it: set MASTER_PORT to a free one for all processes");
    throw Error(fmt::format("rank {} finds nobody at {}:{}, where the processes meet: {}",
                            launch.rank, launch.host, launch.port, reason),
                "is rank 0 running there, and the port open between the machines?");
  }
}

void await_others(c10d::Store& store, const Launch& launch, std::chrono::seconds patience) {
  std::vector<std::string> keys;
  for (int rank = 0; rank < launch.size; ++rank) keys.push_back(fmt::format("who/{}", rank));
  store.set(keys[static_cast<size_t>(launch.rank)], this_process());
  try {
    store.wait(keys, patience);
  } catch (const std::exception&) {
    std::string missing;
    for (int rank = 0; rank < launch.size; ++rank)
      if (!store.check({keys[static_cast<size_t>(rank)]}))
        missing += fmt::format("{}{}", missing.empty() ? "" : ", ", rank);
    throw Error(fmt::format("of {} processes these did not come within {} s: rank {}", launch.size,
                            patience.count(), missing),
                "look for their errors in the launcher's output");
  }
}

// At a free port, whatever place a launcher offers.
Launch with_itself() {
  Launch launch;
  launch.port = 0;
  return launch;
}

}  // namespace

Backend backend_named(const std::string& name) {
  if (name == "auto") return Backend::kAuto;
  if (name == "gloo") return Backend::kGloo;
  if (name == "nccl") return Backend::kNccl;
  throw UsageError(fmt::format("--dist-backend {}: there is no such backend", name),
                   "auto, nccl or gloo");
}

Group::Group() = default;

const Group& Group::alone() {
  static const Group one;
  return one;
}

Group::Group(const Launch& launch, const GroupOptions& options)
    : rank_(launch.rank), size_(launch.size) {
  if (size_ > 1)
    meet(launch, options);
  else if (options.backend != Backend::kAuto)
    meet(with_itself(), options);
}

void Group::meet(const Launch& launch, const GroupOptions& options) {
  setenv("TORCH_CPP_LOG_LEVEL", "ERROR",
         /*overwrite=*/0);  // what its warnings say, errors say better
  c10::initLogging();
  auto m = std::make_unique<Members>();
  m->options = options;
  const auto place = open_store(launch, options.patience);
  if (rank_ == 0 && !launch.meeting_point_held) m->server = place;
  // A launcher's place outlives a job that it starts again.
  const std::string prefix = fmt::format("nestvit/{}", launch.restarts);
  m->store = c10::make_intrusive<c10d::PrefixStore>(prefix, place);
  await_others(*m->store, launch, options.patience);
  const auto watching = place->clone();
  watching->setTimeout(options.silence);
  m->watch.emplace(c10::make_intrusive<c10d::PrefixStore>(prefix, watching), rank_, size_, options,
                   fmt::format("{}:{}", launch.host, launch.port));
  m->guarded([&] {
    auto settings = ProcessGroupGloo::Options::create(options.patience);
    settings->devices.push_back(device(launch));
    const auto gloo = c10::make_intrusive<ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>("gloo", m->store), rank_, size_, settings);
    m->processes = c10::make_intrusive<c10d::ProcessGroup>(m->store, rank_, size_);
    for (const auto kind : {c10::DeviceType::CPU, c10::DeviceType::CUDA})
      m->processes->setBackend(kind, c10d::ProcessGroup::BackendType::GLOO, gloo);
    m->processes->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
  });
  members_ = std::move(m);
}

// The watch goes last: it ends the process if the others' absence holds the rest up.
Group::~Group() {
  if (!members_) return;
  members_->processes.reset();
  members_->nccl.reset();
}

namespace {

template <class Value>
void sum_over(const Group& group, std::span<Value> values) {
  if (!group.members() || values.empty()) return;
  std::vector<at::Tensor> tensors = {torch::from_blob(values.data(),
                                                      {static_cast<int64_t>(values.size())},
                                                      c10::CppTypeToScalarType<Value>::value)};
  group.members()->guarded([&] { group.members()->processes->allreduce(tensors)->wait(); });
}

}  // namespace

void Group::sum_all(std::span<double> values) const { sum_over(*this, values); }
void Group::sum_all(std::span<int64_t> values) const { sum_over(*this, values); }

int Group::highest_of_all(int value) const {
  if (!members_) return value;
  std::vector<at::Tensor> tensors = {torch::tensor({int64_t{value}})};
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp::MAX;
  members_->guarded([&] { members_->processes->allreduce(tensors, options)->wait(); });
  return static_cast<int>(tensors[0].item<int64_t>());
}

std::vector<std::string> Group::texts_of_all(const std::string& text) const {
  if (!members_) return {text};
  std::vector<int64_t> sizes(static_cast<size_t>(size_));
  sizes[static_cast<size_t>(rank_)] = static_cast<int64_t>(text.size());
  sum_all(sizes);
  const int64_t longest = std::max<int64_t>(1, *std::max_element(sizes.begin(), sizes.end()));
  std::vector<at::Tensor> mine = {torch::zeros({longest}, torch::kUInt8)};
  std::memcpy(mine[0].data_ptr(), text.data(), text.size());
  std::vector<std::vector<at::Tensor>> all(1);
  for (int rank = 0; rank < size_; ++rank) all[0].push_back(torch::empty_like(mine[0]));
  members_->guarded([&] { members_->processes->allgather(all, mine)->wait(); });
  std::vector<std::string> texts;
  for (size_t rank = 0; rank < sizes.size(); ++rank)
    texts.emplace_back(static_cast<const char*>(all[0][rank].data_ptr()),
                       static_cast<size_t>(sizes[rank]));
  return texts;
}

std::string Group::first_of_all(const std::string& text) const {
  return texts_of_all(first() ? text : "").front();
}

void Group::copy_first_to_all(const std::vector<at::Tensor>& tensors) const {
  if (!members_ || tensors.empty()) return;
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> plain;
  for (const at::Tensor& tensor : tensors) plain.push_back(tensor.detach());
  members_->guarded([&] {
    c10d::broadcast_coalesced(members_->processes, plain, c10d::kDefaultBucketBytesCap, 0);
  });
}

void Group::average_all(const std::vector<at::Tensor>& tensors) const {
  if (!members_ || tensors.empty()) return;
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& tensor : tensors) flat.push_back(tensor.detach().flatten());
  std::vector<at::Tensor> sum = {torch::cat(flat)};
  members_->guarded([&] { members_->processes->allreduce(sum)->wait(); });
  const at::Tensor mean = sum[0] / size_;
  int64_t first = 0;
  for (const at::Tensor& tensor : tensors) {
    tensor.detach().copy_(mean.narrow(0, first, tensor.numel()).view_as(tensor));
    first += tensor.numel();
  }
}

void Group::finish_all() {
  if (!members_) return;
  highest_of_all(0);
  if (members_->nccl) members_->nccl->shutdown();
  members_->watch->stop();
}

bool Group::fail(const std::string& reason) {
  if (!members_) return true;
  Members& m = *members_;
  try {
    const std::string why = fmt::format(" failed: {}", reason);
    const std::string mine = m.watch->named(rank_) + why;
    const std::string verdict = m.watch->judge(mine);
    // Whoever holds the place where the others read the verdict waits for them to have read it.
    m.store->add("left", 1);
    for (int i = 0; m.server && m.store->add("left", 0) < size_ && i < 50; ++i)
      std::this_thread::sleep_for(milliseconds(100));
    return verdict == mine || !verdict.ends_with(why);
  } catch (const std::exception&) {
    return true;
  }
}

struct MeetingPoint::Server {
  c10::intrusive_ptr<c10d::TCPStore> store;
};

MeetingPoint::MeetingPoint() : server_(std::make_unique<Server>()) {
  c10d::TCPStoreOptions options;
  options.port = 0;
  options.isServer = true;
  options.waitWorkers = false;
  server_->store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
}
MeetingPoint::~MeetingPoint() = default;
uint16_t MeetingPoint::port() const { return server_->store->getPort(); }

}  // namespace nestvit::train

// Sockets, c10d's TCPStore and Gloo: from a launch to the members of a group.
#include "train/group/rendezvous.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <climits>

#include "train/group/members.h"

namespace nestvit::train {
namespace {

using c10d::ProcessGroupGloo;
using std::chrono::milliseconds;

// The address of this machine on the route to `host`, under which the others can reach it.
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
  throw Error(fmt::format("no route to {}", host), "is the network up?");
}

std::shared_ptr<::gloo::transport::Device> gloo_device(const Launch& launch) {
  if (const auto name = environment_variable("GLOO_SOCKET_IFNAME"))  // as PyTorch
    return ProcessGroupGloo::createDeviceForInterface(*name);
  return ProcessGroupGloo::createDeviceForHostname(address_towards(launch.host, launch.port));
}

std::string this_process() {
  char host[HOST_NAME_MAX + 1] = "";
  gethostname(host, sizeof host - 1);
  return fmt::format("{}, process {}", host, getpid());
}

c10::intrusive_ptr<c10d::TCPStore> open_store(const Launch& launch, milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = launch.port;
  options.isServer = launch.rank == 0 && !launch.meeting_point_held;
  options.waitWorkers = false;
  options.timeout = timeout;
  try {
    return c10::make_intrusive<c10d::TCPStore>(launch.host, options);
  } catch (const std::exception& e) {
    const std::string reason = Group::Members::first_line(e.what());
    if (options.isServer)
      throw Error(fmt::format("rank 0 cannot listen on port {}: {}", launch.port, reason),
                  "another job may use it: set MASTER_PORT to a free port for all processes");
    throw Error(fmt::format("rank {} cannot reach {}:{}, where the processes meet: {}", launch.rank,
                            launch.host, launch.port, reason),
                "is rank 0 running there, and is the port open between the machines?");
  }
}

void await_others(c10d::Store& store, const Launch& launch, std::chrono::seconds timeout) {
  std::vector<std::string> keys;
  for (int rank = 0; rank < launch.size; ++rank) keys.push_back(fmt::format("who/{}", rank));
  store.set(keys[static_cast<size_t>(launch.rank)], this_process());
  try {
    store.wait(keys, timeout);
  } catch (const std::exception&) {
    std::string missing;
    for (int rank = 0; rank < launch.size; ++rank)
      if (!store.check({keys[static_cast<size_t>(rank)]}))
        missing += fmt::format("{}{}", missing.empty() ? "" : ", ", rank);
    throw Error(fmt::format("these of {} processes did not connect within {} s: rank {}",
                            launch.size, timeout.count(), missing),
                "look for their errors in the launcher's output");
  }
}

}  // namespace

std::unique_ptr<Group::Members> meet_others(const Launch& launch, const GroupOptions& options) {
  // Its warnings say less than our errors.
  setenv("TORCH_CPP_LOG_LEVEL", "ERROR", /*overwrite=*/0);
  c10::initLogging();
  auto m = std::make_unique<Group::Members>();
  m->options = options;
  const auto store = open_store(launch, options.timeout);
  if (launch.rank == 0 && !launch.meeting_point_held) m->server = store;
  // A launcher's store outlives a job that it starts again.
  const std::string prefix = fmt::format("nestvit/{}", launch.restarts);
  m->store = c10::make_intrusive<c10d::PrefixStore>(prefix, store);
  await_others(*m->store, launch, options.timeout);
  const auto own = store->clone();
  own->setTimeout(options.heartbeat_timeout);
  m->heartbeat.emplace(c10::make_intrusive<c10d::PrefixStore>(prefix, own), launch.rank,
                       launch.size, options, fmt::format("{}:{}", launch.host, launch.port));
  m->guarded([&] {
    auto settings = ProcessGroupGloo::Options::create(options.timeout);
    settings->devices.push_back(gloo_device(launch));
    const auto gloo = c10::make_intrusive<ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>("gloo", m->store), launch.rank, launch.size,
        settings);
    m->processes = c10::make_intrusive<c10d::ProcessGroup>(m->store, launch.rank, launch.size);
    for (const auto kind : {c10::DeviceType::CPU, c10::DeviceType::CUDA})
      m->processes->setBackend(kind, c10d::ProcessGroup::BackendType::GLOO, gloo);
    m->processes->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
  });
  return m;
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

// The variables of each launcher, in the order that timm reads them.
#include "run/launch.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <charconv>

namespace nestvit {
namespace {

struct Launcher {
  const char *name, *rank, *size, *local_rank, *local_size;
  bool binds;  // gives each process processors of its own, unless told otherwise
};

constexpr Launcher kLaunchers[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", false},
    {"MPI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", true},
    // Not SLURM_NTASKS: a shell of salloc and a batch script have it, too, and are one process.
    {"Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", nullptr, true},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", true},
};

std::optional<int> number(const Environment& environment, const char* name) {
  if (!name) return std::nullopt;
  const auto text = environment(name);
  if (!text || text->empty()) return std::nullopt;
  int value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < 0)
    throw UsageError(fmt::format("{} is \"{}\", not a number of 0 or more", name, *text),
                     "the launcher sets it: unset it to train in one process");
  return value;
}

// The first count of Slurm's "4(x2),3": right where the nodes of the step have equally many.
std::optional<int> slurm_tasks_here(const Environment& environment) {
  const auto text = environment("SLURM_STEP_TASKS_PER_NODE");
  if (!text) return std::nullopt;
  int value = 0;
  std::from_chars(text->data(), text->data() + text->size(), value);
  return value > 0 ? std::optional(value) : std::nullopt;
}

// Whether srun itself started this process. The daemons of mpirun are srun's children, too, and
// their processes inherit another step's variables.
bool started_by_srun(const Launch& launch, const Environment& environment) {
  return number(environment, "SLURM_PROCID") == launch.rank &&
         number(environment, "SLURM_STEP_NUM_TASKS") == launch.size;
}

void place(Launch& launch, const Launcher& launcher, const Environment& environment) {
  const bool slurm = started_by_srun(launch, environment);
  if (const auto port = number(environment, "MASTER_PORT")) {
    if (*port < 1 || *port > 65535)
      throw UsageError(fmt::format("MASTER_PORT is {}", *port), "give 1 to 65535");
    launch.port = static_cast<uint16_t>(*port);
  } else if (const auto job = slurm ? number(environment, "SLURM_JOB_ID") : std::nullopt) {
    launch.port = static_cast<uint16_t>(20000 + *job % 10000);  // jobs that share a node
  }
  const auto host = environment("MASTER_ADDR");
  const auto nodes = environment("SLURM_STEP_NODELIST");
  if (host && !host->empty())
    launch.host = *host;
  else if (slurm && nodes)
    launch.host = first_host(*nodes);
  else if (launch.local_size < launch.size)
    throw UsageError(
        fmt::format("{} started {} processes on several machines, and nothing says where they meet",
                    launcher.name, launch.size),
        "set MASTER_ADDR to the address of the machine of rank 0 in all of them (Open MPI: mpirun "
        "-x MASTER_ADDR)");
}

}  // namespace

std::string first_host(const std::string& nodes) {
  const size_t end = nodes.find_first_of(",[");
  if (end == std::string::npos || nodes[end] == ',') return nodes.substr(0, end);
  const size_t close = nodes.find(']', end);
  const size_t first = nodes.find_first_of(",-]", end);
  if (close == std::string::npos || first == end + 1)
    throw UsageError(fmt::format("\"{}\" is not a list of nodes", nodes),
                     "set MASTER_ADDR to the address of the machine of rank 0");
  const size_t after = nodes.find(',', close);
  const size_t suffix = after == std::string::npos ? nodes.size() : after;
  return nodes.substr(0, end) + nodes.substr(end + 1, first - end - 1) +
         nodes.substr(close + 1, suffix - close - 1);
}

Launch read_launch(const Environment& environment) {
  Launch launch;
  launch.restarts = number(environment, "TORCHELASTIC_RESTART_COUNT")
                        .value_or(number(environment, "SLURM_RESTART_COUNT").value_or(0));
  for (const Launcher& launcher : kLaunchers) {
    const auto rank = number(environment, launcher.rank);
    const auto size = number(environment, launcher.size);
    if (!rank && !(size && *size > 1)) continue;
    if (rank && !size) continue;  // SLURM_PROCID of a batch script, RANK of something else
    if (!rank)
      throw UsageError(
          fmt::format("{} is {}, but {} is not set", launcher.size, *size, launcher.rank),
          "a launcher sets both; unset it to train in one process");
    if (*size < 1 || *rank >= *size)
      throw UsageError(
          fmt::format("{} is {} and {} is {}", launcher.rank, *rank, launcher.size, *size),
          "ranks go from 0 to one below the size");
    launch.rank = *rank;
    launch.size = *size;
    launch.bound = launcher.binds;
    const auto local_size = number(environment, launcher.local_size);
    const auto slurm_size =
        started_by_srun(launch, environment) ? slurm_tasks_here(environment) : std::nullopt;
    launch.local_size = local_size ? *local_size : slurm_size ? *slurm_size : *size;
    launch.local_rank = number(environment, launcher.local_rank).value_or(*rank);
    const auto held = environment("TORCHELASTIC_USE_AGENT_STORE");
    launch.meeting_point_held = held && *held == "True";
    if (launch.size > 1) place(launch, launcher, environment);
    return launch;
  }
  return launch;
}

}  // namespace nestvit

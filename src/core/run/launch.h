// Which process of how many this is, as whoever started it says: nestvit's own --nproc, torchrun,
// srun, mpirun. Free of libtorch.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/environment.h"

namespace nestvit {

struct Launch {
  int rank = 0, size = 1;              // of all processes
  int local_rank = 0, local_size = 1;  // of those on this machine
  std::string host = "127.0.0.1";      // where rank 0, or whoever holds the meeting point, listens
  uint16_t port = 29500;
  bool meeting_point_held = false;  // by the launcher; else rank 0 holds it
  bool bound = false;               // the launcher may have given each process its own processors
  int restarts = 0;                 // how often the launcher has started the job again
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// The first launcher whose rank and size are both there counts: torchrun and whoever speaks like it
// (RANK, WORLD_SIZE), Intel MPI and MPICH (PMI_RANK, PMI_SIZE), srun (SLURM_PROCID,
// SLURM_STEP_NUM_TASKS), Open MPI (OMPI_COMM_WORLD_RANK, _SIZE). Inside an allocation of Slurm
// without srun there is one process: SLURM_NTASKS is a wish there. MASTER_ADDR and MASTER_PORT say
// where to meet; without them the first node of the Slurm step, or this machine. Throws UsageError
// for half of a pair, for numbers that make no sense, and when nothing says where to meet.
Launch read_launch(const Environment& environment = environment_variable);

// The first of "node[003-007,9],other" -> "node003". Throws UsageError for what is no such list.
std::string first_host(const std::string& nodes);

}  // namespace nestvit

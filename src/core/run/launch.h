// Which process of how many this is, by the variables of its launcher: nestvit's own --nproc,
// torchrun, srun, mpirun.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/system/environment.h"

namespace nestvit {

struct Launch {
  int rank = 0, size = 1;              // of all processes
  int local_rank = 0, local_size = 1;  // of those on this machine
  // Where the holder of the meeting point listens: rank 0, or the launcher.
  std::string host = "127.0.0.1";
  uint16_t port = 29500;
  bool meeting_point_held = false;  // by the launcher
  bool bound = false;               // the launcher may have given each process its own processors
  int restarts = 0;                 // how often the launcher has started the job again
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// The first launcher whose rank and size are both set counts: torchrun and launchers that set its
// variables (RANK, WORLD_SIZE), Intel MPI and MPICH (PMI_RANK, PMI_SIZE), srun (SLURM_PROCID,
// SLURM_STEP_NUM_TASKS), Open MPI (OMPI_COMM_WORLD_RANK, _SIZE). Inside an allocation of Slurm
// without srun there is one process: SLURM_NTASKS is a wish there. MASTER_ADDR and MASTER_PORT name
// the meeting point; without them it is the first node of the Slurm step, or this machine. Throws
// UsageError for half of a pair, for impossible numbers, and when no meeting point is known.
Launch read_launch(const Environment& environment = environment_variable);

// The first of "node[003-007,9],other" -> "node003". Throws UsageError for anything else.
std::string first_host(const std::string& nodes);

}  // namespace nestvit

// Where and how the processes of a group find one another. Free of libtorch.
#pragma once

#include <cstdint>
#include <memory>

#include "train/group/group.h"

namespace nestvit::train {

// Connects this process with the others of `launch` and starts its heartbeat. Throws Error that
// names those who did not connect within options.timeout.
std::unique_ptr<Group::Members> meet_others(const Launch& launch, const GroupOptions& options);

// A store for processes to meet at, held by a process that is not one of them: the launcher.
class MeetingPoint {
 public:
  MeetingPoint();  // on this machine, at a free port
  ~MeetingPoint();
  uint16_t port() const;

 private:
  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace nestvit::train

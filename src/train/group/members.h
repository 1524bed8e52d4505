// The parts of a group of several processes.
#pragma once

#include <fmt/format.h>
#include <nestvit/error.h>

#include <memory>
#include <optional>

#include "train/group/c10d.h"
#include "train/group/group.h"
#include "train/group/heartbeat.h"

namespace nestvit::train {

struct Group::Members {
  // Of rank 0, unless the launcher holds the meeting point.
  c10::intrusive_ptr<c10d::TCPStore> server;
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroup> processes;
  // Also a backend of `processes`; null while Gloo carries everything.
  c10::intrusive_ptr<c10d::Backend> nccl;
  std::optional<Heartbeat> heartbeat;
  GroupOptions options;

  // Runs `exchange`; when it fails, throws Error that names the rank that failed. A process that
  // runs out of memory throws that error itself.
  template <class Exchanging>
  void guarded(const Exchanging& exchange) {
    heartbeat->count_exchange();
    try {
      exchange();
    } catch (const c10::OutOfMemoryError&) {
      throw;
    } catch (const std::exception& e) {
      throw Error(fmt::format("the run cannot continue: {}",
                              heartbeat->find_failed_rank(first_line(e.what()))),
                  "the last checkpoint is intact: start the same command with --resume");
    }
  }

  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }
};

}  // namespace nestvit::train

// What a group of several processes consists of: for group.cpp and exchange.cpp.
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
  c10::intrusive_ptr<c10d::TCPStore> server;  // of rank 0, unless the launcher holds the place
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroup> processes;
  c10::intrusive_ptr<c10d::Backend> nccl;  // of processes; null while Gloo carries everything
  std::optional<Watch> watch;
  GroupOptions options;

  // Runs `exchange`; when it fails, throws Error that names the process to blame. Memory that runs
  // out is nobody else's fault.
  template <class Exchanging>
  void guarded(const Exchanging& exchange) {
    watch->exchanging();
    try {
      exchange();
    } catch (const c10::OutOfMemoryError&) {
      throw;
    } catch (const std::exception& e) {
      throw Error(fmt::format("the run cannot go on: {}", watch->blame(first_line(e.what()))),
                  "the last checkpoint is whole: start the same command with --resume");
    }
  }

  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }
};

}  // namespace nestvit::train

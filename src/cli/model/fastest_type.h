// --dtype auto: f32 or bf16, whichever is faster here.
#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "runtime/engine.h"

namespace nestvit::cli {

// Images per second of a model, one image at a time, in each type that may be chosen. int8 is not
// among them: its answers differ by more, so it has to be asked for.
struct SpeedOfTypes {
  std::vector<std::pair<NumberType, double>> speeds;
  std::filesystem::path kept;  // where they are kept, "" where they cannot be
  bool measured = false;       // just now, not read

  NumberType fastest() const;
};

// Read from nestvit's cache, else measured and kept there: by processor, instruction sets, threads,
// version and the network's shape. Takes some forwards.
SpeedOfTypes speed_of_types(const LoadedModel& model, int threads);

}  // namespace nestvit::cli

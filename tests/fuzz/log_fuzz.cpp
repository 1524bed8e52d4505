// Fuzzes log.jsonl: any text is cut to lines that stay when it is cut again.
#include <cstdint>
#include <cstdlib>
#include <sstream>

#include "run/record/log.h"

namespace {

std::string cut(const std::string& text, const nestvit::RunState& state) {
  std::istringstream log(text);
  std::string kept;
  const auto points = nestvit::keep_known_lines(
      log, state, [&kept](const std::string& line) { kept += line + '\n'; });
  for (const nestvit::RunPoint& point : points)
    if (point.step > state.step) std::abort();
  return kept;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nestvit::RunState state;
  state.step = 20;
  state.batch_size = state.train_size = 6;
  state.history.resize(2);
  state.history[0].step = 10;
  state.history[0].eval_top1 = 50;
  state.history[1].step = 20;
  state.skipped = {{"a.png", "broken"}};
  const std::string kept = cut({reinterpret_cast<const char*>(data), size}, state);
  if (cut(kept, state) != kept) std::abort();
  return 0;
}

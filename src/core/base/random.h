// Counter-based random numbers (Philox 4x32-10): every draw is a pure function of (seed, purpose,
// epoch or step, sample index), so batches do not depend on the number of workers and a run resumes
// in the middle of an epoch.
#pragma once

#include <array>
#include <cstdint>

namespace nestvit {

// The use of a stream of numbers: streams for different purposes never share numbers.
enum class Purpose : uint32_t {
  kInit,
  kShuffle,
  kTransform,
  kDropPath,
  kSplit,
  kMix,
  kTest,
  kRandAugment,
  kJitter,
  kErase,
  kBootstrap,
  kTieBreak,
  kMosaic,
  kMaskedSets,
};

class Rng {
 public:
  Rng(uint64_t seed, Purpose purpose, uint64_t epoch = 0, uint64_t index = 0);
  uint32_t next_u32();
  float uniform();                 // in [0, 1), 24 bits
  double uniform_double();         // in [0, 1), 53 bits
  uint64_t below(uint64_t bound);  // in [0, bound), without bias; bound > 0
  float normal();                  // N(0, 1), Box-Muller
  float truncated_normal();        // N(0, 1) redrawn until in (-2, 2)

 private:
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace nestvit

// Where the time of a forward goes: by level and kind of work.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/nest.h"

namespace nestvit {

enum class Part {
  kEmbed,
  kPlanes,
  kConv,
  kPool,
  kNorm,
  kQkv,
  kAttention,
  kProj,
  kFc1,
  kGelu,
  kFc2,
  kHead
};
constexpr int kParts = 12;

std::string part_name(Part part);

// Multiply-accumulates of one image in a part of a level, all its layers together; 0 for parts
// without matrix products. Over all levels and parts they add up to multiply_accumulates(config).
int64_t multiply_accumulates(const NestConfig& config, const Level& level, Part part);

// Sums of the seconds that the threads of a team measured; each thread has a row of its own.
class Profile {
 public:
  Profile(int levels, int threads);
  void add(int thread, int level, Part part, double seconds) {
    seconds_[index(thread, level, part)] += seconds;
  }
  // The sum over the team, in thread-seconds.
  double seconds(int level, Part part) const;

 private:
  size_t index(int thread, int level, Part part) const {
    return static_cast<size_t>(thread * levels_ + level) * kParts + static_cast<size_t>(part);
  }
  int levels_, threads_;
  std::vector<double> seconds_;  // [threads, levels, kParts]
};

}  // namespace nestvit

// Philox 4x32-10 (Salmon et al., SC 2011), and numbers of other kinds from its words.
#include "base/random.h"

#include <cmath>
#include <numbers>

namespace nestvit {
namespace {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> x, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = 0xD2511F53ull * x[0];
    const uint64_t b = 0xCD9E8D57ull * x[2];
    x = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ key[0], static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ x[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return x;
}

}  // namespace

// The key is one Philox block of (seed, purpose, epoch), so that neighbouring epochs share nothing;
// the counter holds the index, and the running block number.
Rng::Rng(uint64_t seed, Purpose purpose, uint64_t epoch, uint64_t index) {
  const auto mixed = philox({static_cast<uint32_t>(epoch), static_cast<uint32_t>(epoch >> 32),
                             static_cast<uint32_t>(purpose), 0x6e657374u},
                            {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  key_ = {mixed[0], mixed[1]};
  counter_ = {0, 0, static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32)};
}

uint32_t Rng::next_u32() {
  if (used_ == 4) {
    block_ = philox(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    used_ = 0;
  }
  return block_[used_++];
}

float Rng::uniform() { return static_cast<float>(next_u32() >> 8) * 0x1p-24f; }

double Rng::uniform_double() {
  const uint64_t high = next_u32();
  const uint64_t bits = (high << 21) ^ (next_u32() >> 11);
  return static_cast<double>(bits) * 0x1p-53;
}

uint64_t Rng::below(uint64_t bound) {
  // Values above the last whole multiple of `bound` are drawn again: no bias.
  const uint64_t limit = bound * (UINT64_MAX / bound);
  for (;;) {
    const uint64_t high = next_u32();
    const uint64_t value = (high << 32) | next_u32();
    if (value < limit) return value % bound;
  }
}

float Rng::normal() {
  const double u = 1.0 - uniform_double();  // in (0, 1]: the logarithm is finite
  const double v = uniform_double();
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

float Rng::truncated_normal() {
  for (;;) {
    const float value = normal();
    if (value > -2 && value < 2) return value;
  }
}

}  // namespace nestvit

// What stands behind nestvit.h, in types that name no Model: the public Model and the
// internal one share a name, so no file may see both.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/precision.h"

namespace nestvit {

struct ClassifierOptions {
  int threads = 0;
  Precision precision = Precision::kF32;
  bool use_ema = false;
};

struct RawPixels {
  const uint8_t* data;
  int height, width, channels;
};

// Contracts as in nestvit.h.
class Classifier {
 public:
  Classifier(const std::filesystem::path& path, const ClassifierOptions& options);
  ~Classifier();

  // Prepared input, [channels, S, S].
  std::vector<float> prepared(const std::filesystem::path& image) const;
  std::vector<float> prepared(std::span<const std::byte> encoded) const;
  std::vector<float> prepared(const RawPixels& pixels) const;

  std::vector<float> logits(std::span<const float> input) const;
  // Class indices, best first, with their probabilities.
  std::vector<std::pair<int, float>> best(std::span<const float> logits, int count) const;

  int channels() const;
  int image_size() const;
  const std::vector<std::string>& labels() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nestvit

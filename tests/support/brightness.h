// A tiny task that is easily learned: is the image bright or dark?
#pragma once

#include <nestvit/error.h>

#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "data/dataset.h"

namespace nestvit {

// Bright images are class 1, dark ones class 0; `broken` cannot be read.
class Brightness : public Dataset {
 public:
  explicit Brightness(int64_t size, int64_t broken = -1, std::string kind = "idx", int side = 8)
      : size_(size), broken_(broken), kind_(std::move(kind)), side_(side) {}
  int64_t size() const override { return size_; }
  Sample get(int64_t index) const override {
    if (index == broken_) throw Error(name(index) + " is truncated");
    Rng rng(7, Purpose::kTest, 0, static_cast<uint64_t>(index));
    Sample sample;
    sample.image = {side_, side_, 3, std::vector<uint8_t>(side_ * side_ * 3)};
    for (uint8_t& p : sample.image.pixels)
      p = static_cast<uint8_t>(rng.below(120) + (label(index) == 1 ? 130 : 0));
    sample.label = label(index);
    sample.name = name(index);
    return sample;
  }
  int label(int64_t index) const override { return static_cast<int>(index % 2); }
  std::string name(int64_t index) const override { return "image " + std::to_string(index); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string kind() const override { return kind_; }

 private:
  int64_t size_, broken_;
  std::string kind_;
  int side_;
  std::vector<std::string> classes_ = {"dark", "bright"};
};

}  // namespace nestvit

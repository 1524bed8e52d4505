// The images of one evaluation that the run page shows: a fixed dozen, and the worst mistakes.
// Memory does not grow with the images.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace nestvit {

struct ShownImage {
  int64_t index = 0;  // in the data set
  int label = -1;     // true class
  double loss = 0;
  std::vector<std::pair<int, double>> answers;  // the best three: class, probability
};

class ExamplePicks {
 public:
  static constexpr int kImages = 12;  // of each kind

  // For an evaluation of the images 0 ... `images` - 1: the dozen is spread evenly over them, and
  // so over classes that are stored one after the other.
  explicit ExamplePicks(int64_t images) : images_(images) {}

  // logits [B, K], labels [B], indices [B].
  void add(std::span<const float> logits, std::span<const int> labels,
           std::span<const int64_t> indices);

  std::string packed() const;
  // Merges the packed() picks of a later part of the images into these.
  void add_packed(const std::string& other);

  const std::vector<ShownImage>& samples() const { return samples_; }    // by index
  const std::vector<ShownImage>& mistakes() const { return mistakes_; }  // highest loss first

 private:
  bool is_sample(int64_t index) const;
  void add_mistake(ShownImage image);

  int64_t images_;
  std::vector<ShownImage> samples_, mistakes_;
};

}  // namespace nestvit

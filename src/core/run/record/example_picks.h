// What the run page shows of one evaluation: a fixed dozen of images, the worst mistakes, what was
// taken for what. Memory does not grow with the images. Free of libtorch.
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

class Showcase {
 public:
  static constexpr int kImages = 12;  // of each kind

  // Of an evaluation of the images 0 ... `images` - 1: the dozen is spread evenly over them, and so
  // over classes that follow one another.
  explicit Showcase(int64_t images) : images_(images) {}

  // logits [B, K], labels [B], indices [B].
  void add(std::span<const float> logits, std::span<const int> labels,
           std::span<const int64_t> indices);

  // What another showcase of the same evaluation holds, of images that come after this one's.
  std::string packed() const;
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

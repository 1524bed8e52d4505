// One example of a dataset, before anything is done with it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "image/image.h"

namespace nestvit {

// Encoded bytes, or a raw image (CIFAR, IDX).
struct Sample {
  std::vector<std::byte> encoded;  // empty: `image` is set
  Image image;
  int label = -1;
  std::string name;  // path or "train/123", for messages
};

}  // namespace nestvit

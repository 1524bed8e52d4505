// The parts of a dataset that a check reads, each as a dataset. A folder of images is opened more
// leniently than for training.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/check/check.h"

namespace nestvit {

struct CheckParts {
  std::string kind;
  std::vector<std::pair<std::string, std::unique_ptr<Dataset>>> parts;  // name, images
  bool undivided = false;             // train and val are a seeded split of one folder
  std::vector<Finding> findings;      // empty classes, pictures that are not read, refused data
  std::vector<std::string> not_read;  // what is expected there: a readme, ...
};

// Throws Error when there is nothing to check.
CheckParts open_check_parts(const DatasetOptions& options);

// "jpeg", "png" and "webp" as probe_image() calls them; "GIF", "BMP", "TIFF", "AVIF or HEIC",
// "animated WebP" for what the decoder refuses; "" for all else.
std::string content_format(std::span<const std::byte> bytes);
bool is_refused_format(const std::string& format);

}  // namespace nestvit

// The images that `predict` is given, files, folders and standard input, as one dataset.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nestvit::cli {

// Files as they are; of folders the images that training would read, at any depth, in natural
// order, and what is not read is said; "-" is standard input. An image in a folder with the name of
// one of `labels` has that label. Among several inputs one that is not there, and a folder without
// an image, fails when its turn comes. Throws Error: the only one is such.
std::unique_ptr<Dataset> open_inputs(const std::vector<std::string>& inputs,
                                     const std::vector<std::string>& labels);

}  // namespace nestvit::cli

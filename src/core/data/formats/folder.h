// A folder of images: class names are folder names.
#pragma once

#include <filesystem>
#include <memory>

#include "data/dataset.h"

namespace nestvit {

// DIR/train and DIR/val with one folder per class in each, or DIR itself with one folder per class
// and a seeded split (data/formats/folder_layout.h). Below a class folder, images are found at any
// depth. DIR/test is read only when options.split asks for it. `also_read`: a folder of DIR that
// another reader reads.
std::unique_ptr<Dataset> open_folder(const DatasetOptions& options,
                                     const std::filesystem::path& also_read = {});

// Whether `root` has sub-folders that could be classes or splits.
bool looks_like_image_folder(const std::filesystem::path& root);

}  // namespace nestvit

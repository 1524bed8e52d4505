// A name that leads to a folder: a symbolic link, or a small text file on file systems without
// links, such as FAT, some network shares and drives of clouds.
#pragma once

#include <filesystem>

namespace nestvit {

// Makes `name` lead to `target`, which is relative to the folder of `name`. What was at `name` is
// replaced; a folder there, such as a copy of what a link named, is kept as NAME.copy. False: it
// became a text file. Throws Error when neither can be written.
bool point(const std::filesystem::path& name, const std::filesystem::path& target);

// `path`, where text files written by point() lead on as links do. Anything else stays.
std::filesystem::path pointed_at(const std::filesystem::path& path);

}  // namespace nestvit

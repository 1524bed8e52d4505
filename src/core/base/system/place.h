// Where a result goes: a file that is replaced, or a device, pipe or descriptor that is written to
// as it stands; and whether it can go there, before the work that makes it.
#pragma once

#include <filesystem>

namespace nestvit {

// What a path names that a result is to be written to.
struct Place {
  // Symbolic links followed, so that a link stays where its target is replaced. It need not exist.
  std::filesystem::path path;
  // A device, a pipe, a socket: written to as it is, since nothing can take its place.
  bool stream = false;
  // The descriptor of this process that "-" (standard output), /dev/stdout or /dev/fd/N names; else
  // -1. It is written to itself: opened by name, a file behind it would be written from its start.
  int descriptor = -1;
};
Place place_of(const std::filesystem::path& path);

// The path of a file to write beside `path`, on its file system and different at every call.
std::filesystem::path beside(const std::filesystem::path& path);

// Throws Error unless a file can be written at `path` now: its folder is there, it may be written
// to, and the disk has room for a first block. Leaves nothing behind.
void check_file_place(const std::filesystem::path& path);
// The same for a folder, which need not exist, nor those above it.
void check_folder_place(const std::filesystem::path& path);

}  // namespace nestvit

// checksums.json of a checkpoint: size and CRC-32C of every other file in its folder. A power cut
// or a bad disk leaves zeros in the middle of a file that still parses.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace nestvit {

struct FileSum {
  std::string name;  // of a file in the folder
  uint64_t bytes = 0;
  std::string crc32c;  // eight hexadecimal digits
};

// Of text that may be damaged. Throws Error that names `origin`.
std::vector<FileSum> parse_checksums(const std::string& text, const std::string& origin);

// Of every file in the finished folder.
void write_checksums(const std::filesystem::path& folder);

// Throws Error that names a file that is missing or is not as it was written.
void verify_checksums(const std::filesystem::path& folder);

}  // namespace nestvit

// Checksums of files: those that servers state (SHA-256, MD5, CRC32C, git's blob SHA-1).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace nestvit {

enum class DigestKind { kMd5, kSha1, kSha256, kCrc32c };

// A checksum that a file must have. `git_blob`: over "blob SIZE\0" and the content, as git names
// its objects.
struct Checksum {
  DigestKind kind = DigestKind::kSha256;
  std::string hex;
  bool git_blob = false;

  std::string name() const;  // "SHA-256"
};

std::string digest_text(DigestKind kind, std::string_view text);
// Throws Error when the file cannot be read.
std::string digest_file(const Checksum& kind, const std::filesystem::path& file);

// Base64, as Google states checksums, to lower-case hex. Throws Error for text that is not base64.
std::string hex_of_base64(std::string_view text);

}  // namespace nestvit
